"""Classification configurations are read as they exist in the field, and refused in words that help."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from actors.learning.classify_config import (
    MAX_CONFIG_BYTES,
    ClassifyConfig,
    contradictions_with_card,
    load_classify_config,
)
from actors.learning.errors import ConfigError
from actors.learning.model_card import CARD_FILE, ModelCard, sha256_of, write_model_card

FIVE = ("DJIAVATA2", "DJIFPVCOMBO", "DJIMAVIC3PRO", "DJIMINI3", "DJIMINI4PRO")
SEVEN = ("DJMAVIC3PRO", "DJMINI3", "DJMINI4PRO", "FLYSKY_FS_I6X", "FutabaT14SG", "Radiolink_AT9S_Pro", "empty")
TWENTY_THREE = (
    "yunzhuoT12",
    "Vbar",
    "Tarains_Plus_FLY",
    "RadioLinkAT9S",
    "Phantom4ProRTK",
    "Phantom4Pro",
    "Phantom3",
    "Mini3Pro",
    "Mini2",
    "MavicPro",
    "Mavic3",
    "Matrice600Pro",
    "Matrice300",
    "Matrice200",
    "Matrice100",
    "Matrice30T",
    "Inspire2",
    "FutabaT61Z",
    "FutabaT14SG",
    "FrskyX20",
    "DJi",
    "AVATA",
    "Air2S",
)
THIRTY_SEVEN = (
    "DAUTEL EVO nano",
    "DEVENTION DEVO",
    "DJI AVATA2",
    "DJI FPV COMBO",
    "DJI MAVIC3 PRO",
    "DJI MINI3",
    "DJI MINI4 PRO",
    "FLYSKY EL 18",
    "FLYSKY FS 16X",
    "FLYSKY NV 14",
    "FRSKY-X9DP2019",
    "FRSKY-X14",
    "FRSKY-X20R",
    "FUTABA-T10J",
    "FUTABA-T145G",
    "FUTABA-T16IZ",
    "FUTABA-T18SZ",
    "Herelink-Hx4",
    "JR PROPO XG7",
    "JR PROPO XG14",
    "JUMPER-T14",
    "JUMPER-TProV2",
    "Radiolink AT9S Pro",
    "Radiolink AT10 II",
    "RadioMaster BOXER",
    "RadioMaster TX16S",
    "SIYI FT24",
    "SIYI MK15",
    "SIYI MK32",
    "SKYDROID-H12",
    "SKYDROID-T10",
    "WFLY ET10",
    "WFLY ET16S",
    "WFLY WFTO9SII",
    "YunZhuo-H12",
    "YunZhuo-H16",
    "YunZhuo-H30",
)


@pytest.fixture
def read(tmp_path):
    """Read a text, or a mapping of keys, as a configuration file."""

    def read_config(content: str | bytes | dict) -> ClassifyConfig:
        path = tmp_path / "config.yaml"
        text = yaml.safe_dump(content, allow_unicode=True) if isinstance(content, dict) else content
        path.write_bytes(text if isinstance(text, bytes) else text.encode("utf-8"))
        return load_classify_config(path)

    return read_config


def keys(**changed) -> dict:
    """A valid configuration with some keys changed, or left out where changed to None."""
    valid = {"model": "resnet18", "num_classes": 2, "class_names": {"b": 0, "a": 1}, "image_size": 224}
    return {key: value for key, value in (valid | changed).items() if value is not None}


def test_mapping_gives_the_order_of_its_indices(read):
    config = read(keys(num_classes=3, class_names={"zulu": 0, "alpha": 2, "mike": 1}))
    assert config.class_names == ("zulu", "mike", "alpha")
    assert config.warnings == ()


@pytest.mark.parametrize("names", [FIVE, SEVEN, TWENTY_THREE, THIRTY_SEVEN], ids=len)
def test_published_class_lists_take_ascii_order_and_say_so(read, names):
    config = read(keys(num_classes=len(names), class_names=list(reversed(names))))
    assert config.class_names == tuple(sorted(names))
    assert config.num_classes == len(names)
    assert any("ASCII order" in warning for warning in config.warnings)


def test_list_order_of_the_37_classes_is_not_index_order(read):
    config = read(keys(num_classes=37, class_names=list(THIRTY_SEVEN)))
    assert config.class_names.index("FRSKY-X14") < config.class_names.index("FRSKY-X9DP2019")


def test_lower_case_empty_comes_after_upper_case_names(read):
    config = read(keys(num_classes=7, class_names=["DJMINI3", *SEVEN[:1], *SEVEN[2:4], "empty", *SEVEN[4:6]]))
    assert config.class_names[6] == "empty"


def test_a_real_training_file_is_read(read):
    config = read(
        "train: E:\\Drone_dataset\\RFUAV\\dataset_aug\\train  # 数据集路径\n"
        "val:\n"
        "save_path: E:\\Drone_dataset\\exp\\8.vit_b_16\n"
        "model : vit_l_16\nweights: None\nbatch_size: 32\nimage_size: (224, 224)\nnum_classes: 5\n"
        "class_names: [S\n        'DJIAVATA2',\n        'DJIFPVCOMBO',\n        'DJIMAVIC3PRO',\n"
        "        'DJIMINI3',\n        'DJIMINI4PRO',\n]\n"
        "device: 'cuda'\nnum_epochs: 150\nshuffle: True\nlr: 0.00001\noptimizer: None\n"
    )
    assert config.model == "vit_l_16"
    assert config.class_names == FIVE
    assert config.image_size == 224
    assert config.weights is None
    assert any("S 'DJIAVATA2'" in warning for warning in config.warnings)


def test_the_sample_with_epochs_instead_of_num_epochs_is_read(read):
    names = ", ".join(f"'{name}'" for name in TWENTY_THREE)
    text = f"model: resnet152\nepochs: 3\nnum_classes: 23\nclass_names: [{names}]\nimage_size: 640\ndevice: cuda\n"
    assert read(text).image_size == 640


def test_a_byte_order_mark_is_no_part_of_the_first_key(read):
    text = "model: resnet18\nnum_classes: 1\nclass_names: {a: 0}\nimage_size: 64\n"
    assert read(b"\xef\xbb\xbf" + text.encode()).model == "resnet18"


@pytest.mark.parametrize("weights", ["None", "none", " null ", "", "~"])
def test_written_none_means_no_weights(read, weights):
    assert read(keys(weights=weights)).weights is None


def test_named_weights_are_kept(read):
    assert read(keys(weights="runs/best_model.pth")).weights == "runs/best_model.pth"


@pytest.mark.parametrize("image_size", [96, "96", "(96, 96)", "[96,96]", [96, 96], "( 96 ,96 )", (96,)], ids=str)
def test_every_spelling_of_a_square_gives_its_side(read, image_size):
    raw = list(image_size) if isinstance(image_size, tuple) else image_size
    assert read(keys(image_size=raw)).image_size == 96


@pytest.mark.parametrize("image_size", [(224, 200), "224x224", 0, -224, 16, 5000, 96.5, "big", True, {"side": 96}, [[96]]])
def test_what_is_no_usable_square_is_refused_by_value(read, image_size):
    raw = list(image_size) if isinstance(image_size, tuple) else image_size
    with pytest.raises(ConfigError, match="image_size"):
        read(keys(image_size=raw))


def test_a_transformer_with_another_size_than_its_own_is_refused(read):
    with pytest.raises(ConfigError, match="224 x 224"):
        read(keys(model="vit_b_16", image_size=640))


@pytest.mark.parametrize("key", ["model", "num_classes", "class_names", "image_size"])
def test_a_missing_key_is_named_with_its_remedy(read, key):
    with pytest.raises(ConfigError, match=f"the key {key} is missing") as failure:
        read(keys(**{key: None}))
    assert key in failure.value.hint


def test_an_unknown_model_is_answered_with_near_ones(read):
    with pytest.raises(ConfigError, match="'ResNet19'") as failure:
        read(keys(model="ResNet19"))
    assert "resnet18" in failure.value.hint


def test_a_model_like_no_other_is_answered_with_all(read):
    with pytest.raises(ConfigError) as failure:
        read(keys(model="banana"))
    assert "densenet201" in failure.value.hint


@pytest.mark.parametrize("model", [18, True, ["resnet18"], {"name": "resnet18"}])
def test_a_model_that_is_no_text_is_refused(read, model):
    with pytest.raises(ConfigError, match="unknown model"):
        read(keys(model=model))


@pytest.mark.parametrize("num_classes", [3, 1, "3", True, 2.5, "two", [2]])
def test_a_number_of_classes_that_differs_from_the_names_is_refused_naming_both(read, num_classes):
    with pytest.raises(ConfigError, match=r"num_classes is .*class_names names 2 classes"):
        read(keys(num_classes=num_classes))


@pytest.mark.parametrize(
    "class_names",
    [{"a": 0, "b": 2}, {"a": 0, "b": 0}, {"a": 1, "b": 2}, {"a": 0, "b": "1"}, {"a": 0, "b": True}, {"a": 0.0, "b": 1.0}],
)
def test_indices_that_are_no_permutation_are_refused(read, class_names):
    with pytest.raises(ConfigError, match="every index from 0 to 1"):
        read(keys(class_names=class_names))


def test_a_mapping_from_index_to_name_is_recognised(read):
    with pytest.raises(ConfigError, match="maps indices to names") as failure:
        read(keys(class_names={0: "a", 1: "b"}))
    assert "Turn it round" in failure.value.hint


@pytest.mark.parametrize("class_names", ["a, b", "None", 2, [], {}, [["a"], "b"], [{"a": 0}, {"b": 1}], ["a", "a"], ["a", ""]])
def test_class_names_of_another_shape_are_refused(read, class_names):
    with pytest.raises(ConfigError, match="class"):
        read(keys(class_names=class_names))


@pytest.mark.parametrize("name", ["no", "2024-01-01", "007", "1.5", "0x1F", "~"])
def test_a_name_that_yaml_does_not_read_as_text_must_be_quoted(read, name):
    text = "model: resnet18\nnum_classes: 2\nimage_size: 64\nclass_names: [{}, drone]\n"
    with pytest.raises(ConfigError) as failure:
        read(text.format(name))
    assert "quotes" in failure.value.hint
    assert name in read(text.format(f"'{name}'")).class_names


def test_names_in_other_scripts_are_kept(read):
    assert read(keys(class_names={"大疆": 0, "Жук 1": 1})).class_names == ("大疆", "Жук 1")


def test_a_name_with_a_line_break_is_refused(read):
    with pytest.raises(ConfigError, match="control characters"):
        read(keys(class_names={"a\nb": 0, "c": 1}))


@pytest.mark.parametrize("text", ["", "- a\n- b\n", "just words", "42", "null"])
def test_a_file_without_keys_is_refused(read, text):
    with pytest.raises(ConfigError, match="expected keys with values"):
        read(text)


@pytest.mark.parametrize(
    "text",
    ["a: [1, 2", "a: b: c", "\t", "a: !!python/object/apply:os.system ['true']", "a: !!timestamp x", "? [a]\n: b", "\x00"],
)
def test_what_is_not_plain_yaml_is_refused(read, text):
    with pytest.raises(ConfigError, match="not valid YAML"):
        read(text)


def test_text_in_another_encoding_is_refused(read):
    with pytest.raises(ConfigError, match="UTF-8"):
        read("model: resnet18  # 数据集路径".encode("gbk"))


@pytest.mark.parametrize("kind", ["missing", "folder", "pipe"])
def test_what_is_no_file_is_named_and_never_waited_for(tmp_path, kind):
    path = tmp_path / "config.yaml"
    if kind == "folder":
        path.mkdir()
    elif kind == "pipe":
        os.mkfifo(path)
    with pytest.raises(ConfigError, match=r"config\.yaml: there is no such file"):
        load_classify_config(path)


def test_an_oversized_file_is_refused_before_it_is_parsed(read):
    with pytest.raises(ConfigError, match="larger than"):
        read(b"#" * (MAX_CONFIG_BYTES + 1))


def test_aliases_cannot_unfold(read):
    lines = ["a0: &a0 {x: 1}"]
    lines += [f"a{level}: &a{level} {{<<: [*a{level - 1}, *a{level - 1}]}}" for level in range(1, 40)]
    with pytest.raises(ConfigError, match="aliases"):
        read("\n".join(lines))


def test_deep_nesting_cannot_exhaust_the_stack(read):
    with pytest.raises(ConfigError, match="nested"):
        read("a: " + "[" * 100_000)


def test_complaints_stay_short_for_long_values(read):
    with pytest.raises(ConfigError) as failure:
        read(keys(model="x" * 100_000))
    assert len(failure.value.message) < 500


def describe(folder: Path, **changed) -> Path:
    """Write weights with a card; return the weights."""
    weights = folder / "best_model.pth"
    weights.write_bytes(b"weights")
    facts = {"classes": ["b", "a"], "num_classes": 2, "image_size": 224, "weights_sha256": sha256_of(weights)}
    write_model_card(folder / CARD_FILE, ModelCard(architecture="resnet18", **(facts | changed)))
    return weights


def test_a_configuration_that_agrees_with_the_card_is_not_remarked_upon(read, tmp_path):
    assert contradictions_with_card(read(keys()), describe(tmp_path)) == ()


def test_weights_without_a_card_contradict_nothing(read, tmp_path):
    assert contradictions_with_card(read(keys()), tmp_path / "best_model.pth") == ()


def test_outputs_that_the_card_does_not_name_contradict_nothing(read, tmp_path):
    spare = read(keys(num_classes=3, class_names={"b": 0, "a": 1, "unnamed_2": 2}))
    assert contradictions_with_card(spare, describe(tmp_path, num_classes=3)) == ()


@pytest.mark.parametrize(("key", "changed"), [("class_names", {"classes": ["a", "b"]}), ("image_size", {"image_size": 64})])
def test_a_contradiction_with_the_card_is_told(read, tmp_path, key, changed):
    (warning,) = contradictions_with_card(read(keys()), describe(tmp_path, **changed))
    assert warning.startswith(f"{key} differs")


def test_a_card_of_other_weights_contradicts_nothing(read, tmp_path):
    weights = describe(tmp_path, classes=["a", "b"])
    weights.write_bytes(b"other weights")
    assert contradictions_with_card(read(keys()), weights) == ()


def test_a_damaged_card_is_told(read, tmp_path):
    weights = describe(tmp_path)
    (tmp_path / CARD_FILE).write_text("{")
    (warning,) = contradictions_with_card(read(keys()), weights)
    assert "model card" in warning


def test_reading_a_configuration_needs_no_torch():
    code = (
        "import sys; import actors.learning.classify_config, actors.learning.pictures, actors.learning.prediction_files,"
        " actors.learning.annotate; sys.exit('torch' in sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True, cwd=Path(__file__).parents[3])
