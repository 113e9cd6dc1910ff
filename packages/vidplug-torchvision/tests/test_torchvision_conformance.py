from __future__ import annotations

from vidcore.testing import ExtractorConformance


class TestR3d(ExtractorConformance):
    name = "torchvision/r3d_18_test"
    clip_shape = (2, 16, 3, 64, 80)


class TestMc3(ExtractorConformance):
    name = "torchvision/mc3_18_test"
    clip_shape = (2, 8, 3, 64, 80)


class TestR2Plus1d(ExtractorConformance):
    name = "torchvision/r2plus1d_18_test"
    clip_shape = (2, 16, 3, 64, 80)


class TestS3d(ExtractorConformance):
    name = "torchvision/s3d_test"
    clip_shape = (2, 16, 3, 64, 80)


class TestMvitV1(ExtractorConformance):
    name = "torchvision/mvit_v1_b_test"
    clip_shape = (2, 16, 3, 64, 80)


class TestMvitV2(ExtractorConformance):
    name = "torchvision/mvit_v2_s_test"
    clip_shape = (2, 16, 3, 64, 80)


class TestSwin(ExtractorConformance):
    name = "torchvision/swin3d_t_test"
    clip_shape = (2, 8, 3, 64, 80)
