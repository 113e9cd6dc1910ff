"""What is particular to this extractor: differences are what it sees."""

import torch
import vidcore


def test_a_still_video_and_its_first_frame_look_the_same_without_differences():
    still = torch.randint(0, 256, (1, 1, 3, 64, 64), dtype=torch.uint8).expand(1, 8, 3, 64, 64)
    extractor = vidcore.create("template/diff3d_test")
    seen = []
    extractor.network.stages[0].register_forward_pre_hook(lambda _, args: seen.append(args[0]))
    extractor.extract(still)
    assert seen[0].shape[1] == 6
    assert not seen[0][:, 3:].any()
