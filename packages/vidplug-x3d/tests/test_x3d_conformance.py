from vidcore.testing import ExtractorConformance


class TestX3D(ExtractorConformance):
    name = "x3d/s_test"
    clip_shape = (2, 13, 3, 64, 64)
