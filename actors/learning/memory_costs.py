"""What every model keeps in memory, as plain facts.

Measured from the real networks by ``tests/benchmarks/measure_activations.py``, which prints these rows. It must not import torch.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final

#: What was measured with: the classes that RFUAV distinguishes, and the side of its pictures in pixels.
REFERENCE_CLASSES: Final = 37
REFERENCE_SIDE: Final = 224


@dataclass(frozen=True, slots=True)
class ModelCost:
    """The weights of a model and what it keeps for the backward pass of one picture of the reference side."""

    parameters: int
    #: In single precision.
    kept_bytes: int
    #: In mixed precision, without the cast copies of the weights.
    kept_bytes_mixed: int
    #: The largest single tensor among those kept, in single precision.
    largest_bytes: int


#: Every model of the catalogue, by name.
COSTS: Mapping[str, ModelCost] = MappingProxyType(
    {
        "resnet18": ModelCost(11_195_493, 22_179_840, 11_892_736, 3_211_264),
        "resnet34": ModelCost(21_303_653, 32_215_040, 16_910_336, 3_211_264),
        "resnet50": ModelCost(23_583_845, 85_909_504, 43_757_568, 3_211_264),
        "resnet101": ModelCost(42_575_973, 126_853_120, 64_229_376, 3_211_264),
        "resnet152": ModelCost(58_219_621, 177_430_528, 89_518_080, 3_211_264),
        "vit_b_16": ModelCost(85_827_109, 118_160_680, 66_420_520, 2_420_736),
        "vit_b_32": ModelCost(87_483_685, 30_439_312, 17_083_792, 614_400),
        "vit_l_16": ModelCost(303_339_557, 312_449_960, 175_782_824, 3_227_648),
        "vit_l_32": ModelCost(305_548_325, 79_751_312, 44_841_104, 819_200),
        "vit_h_14": ModelCost(630_812_197, 677_603_848, 381_241_352, 5_263_360),
        "swin_v2_t": ModelCost(27_611_023, 150_262_184, 88_598_740, 4_816_896),
        "swin_v2_s": ModelCost(48_996_895, 247_252_232, 146_530_948, 4_816_896),
        "swin_v2_b": ModelCost(86_943_773, 329_396_488, 195_238_020, 6_422_528),
        "mobilenet_v2": ModelCost(2_271_269, 78_209_536, 39_104_768, 4_816_896),
        "mobilenet_v3_large": ModelCost(3_482_965, 44_104_736, 22_052_368, 3_211_264),
        "mobilenet_v3_small": ModelCost(1_241_413, 16_163_680, 8_081_840, 903_168),
        "efficientnet_b0": ModelCost(4_054_945, 88_194_052, 44_097_026, 4_816_896),
        "efficientnet_b1": ModelCost(6_560_581, 122_854_080, 61_427_040, 4_816_896),
        "efficientnet_b2": ModelCost(7_753_127, 128_848_592, 64_424_296, 4_816_896),
        "efficientnet_b3": ModelCost(10_753_101, 170_445_260, 85_222_630, 7_225_344),
        "efficientnet_b4": ModelCost(17_614_957, 224_959_972, 112_479_986, 7_225_344),
        "efficientnet_b5": ModelCost(28_416_597, 309_812_096, 154_906_048, 7_225_344),
        "efficientnet_b6": ModelCost(40_820_989, 396_509_912, 198_254_956, 9_633_792),
        "efficientnet_b7": ModelCost(63_881_717, 531_869_760, 265_934_880, 9_633_792),
        "densenet121": ModelCost(6_991_781, 130_361_344, 65_983_488, 3_211_264),
        "densenet161": ModelCost(26_553_733, 242_772_864, 122_590_656, 4_816_896),
        "densenet169": ModelCost(12_546_085, 157_308_416, 79_457_024, 3_211_264),
        "densenet201": ModelCost(18_164_005, 202_969_600, 102_287_616, 3_211_264),
        "vgg11": ModelCost(128_917_925, 48_869_376, 30_556_160, 12_845_056),
        "vgg11_bn": ModelCost(128_923_429, 78_573_568, 45_408_256, 12_845_056),
        "vgg13": ModelCost(129_102_437, 68_136_960, 40_189_952, 12_845_056),
        "vgg13_bn": ModelCost(129_108_325, 117_108_736, 64_675_840, 12_845_056),
        "vgg16": ModelCost(134_412_133, 73_355_264, 42_799_104, 12_845_056),
        "vgg16_bn": ModelCost(134_420_581, 127_545_344, 69_894_144, 12_845_056),
        "vgg19": ModelCost(139_721_829, 78_573_568, 45_408_256, 12_845_056),
        "vgg19_bn": ModelCost(139_732_837, 137_981_952, 75_112_448, 12_845_056),
    }
)
