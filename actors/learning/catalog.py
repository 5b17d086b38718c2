"""The models that can be asked for, as plain facts.

Owns names, families, what image sizes a model can take and which file holds its ImageNet weights. It must not import
torch: the process that checks a submission reads it, and torch's import alone costs 300 MB.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from types import MappingProxyType

#: The smallest side, in pixels, that the contract of the HTTP interface allows.
MIN_IMAGE_SIZE = 32


class Family(StrEnum):
    """A group of architectures that share one kind of head."""

    RESNET = "resnet"
    VIT = "vit"
    SWIN_V2 = "swin_v2"
    MOBILENET_V2 = "mobilenet_v2"
    MOBILENET_V3 = "mobilenet_v3"
    EFFICIENTNET = "efficientnet"
    DENSENET = "densenet"
    VGG = "vgg"


@dataclass(frozen=True, slots=True)
class ModelSpec:
    """What is known of a model without building it."""

    name: str
    family: Family
    #: The Python class of the architecture: the prefix of RFUAV's per-epoch weights files.
    class_name: str
    #: torchvision's file of ImageNet weights; those that the origin's ``pretrained=True`` meant.
    weights_file: str
    #: The only image side that works, where there is just one.
    fixed_image_size: int | None = None


_CLASS_NAMES: Mapping[Family, str] = MappingProxyType(
    {
        Family.RESNET: "ResNet",
        Family.VIT: "VisionTransformer",
        Family.SWIN_V2: "SwinTransformer",
        Family.MOBILENET_V2: "MobileNetV2",
        Family.MOBILENET_V3: "MobileNetV3",
        Family.EFFICIENTNET: "EfficientNet",
        Family.DENSENET: "DenseNet",
        Family.VGG: "VGG",
    }
)

_WEIGHTS_FILES: Mapping[Family, tuple[tuple[str, str], ...]] = MappingProxyType(
    {
        Family.RESNET: (
            ("resnet18", "resnet18-f37072fd.pth"),
            ("resnet34", "resnet34-b627a593.pth"),
            ("resnet50", "resnet50-0676ba61.pth"),
            ("resnet101", "resnet101-63fe2227.pth"),
            ("resnet152", "resnet152-394f9c45.pth"),
        ),
        Family.VIT: (
            ("vit_b_16", "vit_b_16-c867db91.pth"),
            ("vit_b_32", "vit_b_32-d86f8d99.pth"),
            ("vit_l_16", "vit_l_16-852ce7e3.pth"),
            ("vit_l_32", "vit_l_32-c7638314.pth"),
            # torchvision's other weights of this model want pictures of 518 pixels.
            ("vit_h_14", "vit_h_14_lc_swag-c1eb923e.pth"),
        ),
        Family.SWIN_V2: (
            ("swin_v2_t", "swin_v2_t-b137f0e2.pth"),
            ("swin_v2_s", "swin_v2_s-637d8ceb.pth"),
            ("swin_v2_b", "swin_v2_b-781e5279.pth"),
        ),
        Family.MOBILENET_V2: (("mobilenet_v2", "mobilenet_v2-b0353104.pth"),),
        Family.MOBILENET_V3: (
            ("mobilenet_v3_large", "mobilenet_v3_large-8738ca79.pth"),
            ("mobilenet_v3_small", "mobilenet_v3_small-047dcff4.pth"),
        ),
        Family.EFFICIENTNET: (
            ("efficientnet_b0", "efficientnet_b0_rwightman-7f5810bc.pth"),
            ("efficientnet_b1", "efficientnet_b1_rwightman-bac287d4.pth"),
            ("efficientnet_b2", "efficientnet_b2_rwightman-c35c1473.pth"),
            ("efficientnet_b3", "efficientnet_b3_rwightman-b3899882.pth"),
            ("efficientnet_b4", "efficientnet_b4_rwightman-23ab8bcd.pth"),
            ("efficientnet_b5", "efficientnet_b5_lukemelas-1a07897c.pth"),
            ("efficientnet_b6", "efficientnet_b6_lukemelas-24a108a5.pth"),
            ("efficientnet_b7", "efficientnet_b7_lukemelas-c5b4e57e.pth"),
        ),
        Family.DENSENET: (
            ("densenet121", "densenet121-a639ec97.pth"),
            ("densenet161", "densenet161-8d451a50.pth"),
            ("densenet169", "densenet169-b2777c0a.pth"),
            ("densenet201", "densenet201-c1103571.pth"),
        ),
        Family.VGG: (
            ("vgg11", "vgg11-8a719046.pth"),
            ("vgg11_bn", "vgg11_bn-6002323d.pth"),
            ("vgg13", "vgg13-19584684.pth"),
            ("vgg13_bn", "vgg13_bn-abd245e5.pth"),
            ("vgg16", "vgg16-397923af.pth"),
            ("vgg16_bn", "vgg16_bn-6c64b313.pth"),
            ("vgg19", "vgg19-dcbb9e9d.pth"),
            ("vgg19_bn", "vgg19_bn-c79401a0.pth"),
        ),
    }
)


def _describe(family: Family, name: str, weights_file: str) -> ModelSpec:
    """Put the facts of one model together."""
    return ModelSpec(
        name=name,
        family=family,
        class_name=_CLASS_NAMES[family],
        weights_file=weights_file,
        fixed_image_size=224 if family is Family.VIT else None,
    )


#: Every model that can be asked for, by name.
MODELS: Mapping[str, ModelSpec] = MappingProxyType(
    {name: _describe(family, name, file) for family, files in _WEIGHTS_FILES.items() for name, file in files}
)
SUPPORTED_MODELS: tuple[str, ...] = tuple(MODELS)


def check_image_size(name: str, image_size: int) -> str | None:
    """Tell why a supported model cannot take pictures of ``image_size`` pixels a side, or None where it can."""
    fixed = MODELS[name].fixed_image_size
    if fixed is not None and image_size != fixed:
        return f"{name} takes pictures of {fixed} x {fixed} pixels only, not {image_size}"
    if image_size < MIN_IMAGE_SIZE:
        return f"pictures must be at least {MIN_IMAGE_SIZE} pixels a side, not {image_size}"
    return None
