from vidcore.testing import ExtractorConformance


class TestI3dResNet(ExtractorConformance):
    name = "i3d/r50_8x8_test"
    clip_shape = (2, 8, 3, 64, 64)


class TestI3dInception(ExtractorConformance):
    name = "i3d/inception_test"
    clip_shape = (2, 16, 3, 64, 64)
