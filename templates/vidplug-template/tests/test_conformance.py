"""The suites every vidcore component must pass; this is all a plugin has to write."""

from vidcore.testing import ExtractorConformance, ExtractorDeclarationConformance


class TestSmall(ExtractorConformance):
    name = "template/diff3d_test"
    clip_shape = (2, 8, 3, 48, 64)  # B, T, C, H, W of the raw video


class TestFull(ExtractorDeclarationConformance):
    """Too large to run in every test? Its declaration, options, parameters and shapes need no memory."""

    name = "template/diff3d"
