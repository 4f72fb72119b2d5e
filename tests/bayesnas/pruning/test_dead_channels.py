import pytest
import torch
from silenced_nets import assert_same_outputs, silence, size
from torch import nn
from torchvision.models.resnet import BasicBlock, ResNet, resnet18

from bayesnas.nn.modules.mlp import convnet
from bayesnas.pruning.compaction import compact


def shuffle_norms(net):
    """Give batch normalisation layers statistics and coefficients as after training."""
    for module in net.modules():
        if isinstance(module, nn.BatchNorm2d):
            nn.init.normal_(module.running_mean)
            nn.init.uniform_(module.running_var, 0.5, 2.0)
            nn.init.normal_(module.weight)
            nn.init.normal_(module.bias)
    return net


# Convolutions


def test_lenet_shrinks_to_the_size_counted_by_hand():
    net = convnet()
    # 5 filters of conv1 are constant, 3 more are unread: 12 of 20 stay. 20 of 50 filters of conv2
    # are constant. 100 of 500 units are unread, 50 more constant.
    silence(net.conv1.weight, rows=range(5))
    silence(net.conv2.weight, rows=range(20), columns=range(5, 8))
    silence(net.layer2.weight, columns=range(100))
    silence(net.layer1.weight, rows=range(100, 150))
    x = torch.randn(2, 1, 28, 28)

    small = compact(net, x)

    conv1, conv2 = 12 * (25 + 1), 30 * (12 * 25 + 1)
    layer1, layer2 = 350 * (30 * 16 + 1), 10 * (350 + 1)
    assert size(small) == conv1 + conv2 + layer1 + layer2
    assert_same_outputs(small, net, x)


def padded_net(padding, padding_mode="zeros", bias=1.0):
    net = nn.Sequential(
        nn.Conv2d(1, 6, 3),
        nn.ReLU(),
        nn.Conv2d(6, 2, 3, padding=padding, padding_mode=padding_mode),
    )
    silence(net[0].weight, rows=[0, 1])
    nn.init.constant_(net[0].bias, bias)
    return net


@pytest.mark.parametrize(
    ("net", "filters"),
    [
        (padded_net(0), 4),
        (padded_net("valid"), 4),
        (padded_net(1), 6),  # a padded constant is no constant: it stays
        (padded_net("same"), 6),
        (padded_net(1, bias=-1.0), 4),  # but zero, padded with zeros, is
        (padded_net(1, "reflect"), 4),
        (padded_net(1, "replicate"), 4),
    ],
    ids=["unpadded", "valid", "padded", "same", "padded zero", "reflected", "replicated"],
)
def test_constant_filters_go_where_that_is_exact(net, filters):
    x = torch.randn(2, 1, 8, 8)

    small = compact(net, x)

    assert small[0].out_channels == small[2].in_channels == filters
    assert_same_outputs(small, net, x)


def test_a_constant_that_padding_in_a_pooling_layer_breaks_goes_only_into_linear_layers():
    pool = nn.AvgPool2d(3, stride=2, padding=1)
    head = nn.Sequential(nn.Conv2d(1, 4, 3), pool, nn.Flatten(), nn.Linear(4 * 16, 2))
    conv = nn.Sequential(nn.Conv2d(1, 4, 3), pool, nn.Conv2d(4, 2, 3))
    x = torch.randn(2, 1, 10, 10)
    for net, filters in ((head, 3), (conv, 4)):
        silence(net[0].weight, rows=[2])
        small = compact(net, x)
        assert small[0].out_channels == filters
        assert_same_outputs(small, net, x)


@pytest.mark.parametrize("flat", [True, False])
def test_one_dimensional_and_transposed_convolutions(flat):
    net = nn.Sequential(
        nn.Conv1d(2, 6, 3),
        nn.BatchNorm1d(6),
        nn.PReLU(6),
        nn.MaxPool1d(2),
        nn.ConvTranspose1d(6, 5, 3),
        nn.GELU(),
        *((nn.Flatten(), nn.Linear(5 * 9, 3)) if flat else (nn.ConvTranspose1d(5, 3, 2),)),
    )
    silence(net[4].weight, rows=[0, 1])  # a transposed weight stores in x out
    silence(net[-1].weight, **({"columns": range(9, 27)} if flat else {"rows": [1, 2]}))
    x = torch.randn(2, 2, 16)

    small = compact(net, x)

    assert (small[0].out_channels, small[4].in_channels, small[4].out_channels) == (4, 4, 3)
    assert (small[1].num_features, small[2].num_parameters) == (4, 4)
    assert_same_outputs(small, net, x)


def test_a_decoder_loses_a_channel_only_with_all_units_that_make_it_up():
    net = nn.Sequential(
        nn.Linear(3, 4 * 25),
        nn.ReLU(),
        nn.Unflatten(1, (4, 5, 5)),
        nn.ConvTranspose2d(4, 1, 3),
    )
    silence(net[3].weight, rows=[2])  # one channel unread
    silence(net[0].weight, rows=[0])  # one unit of another constant
    nn.init.zeros_(net[0].bias)
    x = torch.randn(4, 3)

    small = compact(net, x)

    # Unflatten keeps its sizes, so that nothing may go.
    assert size(small) == size(net)
    assert_same_outputs(small, net, x)


class Decoder(nn.Module):
    def __init__(self):
        super().__init__()
        self.dense = nn.Linear(3, 4 * 25)
        self.conv = nn.ConvTranspose2d(4, 1, 3)

    def forward(self, z):
        return self.conv(torch.relu(self.dense(z)).reshape(len(z), -1, 5, 5))


def test_a_decoder_that_works_out_its_channels_shrinks():
    net = Decoder()
    silence(net.conv.weight, rows=[2])
    silence(net.dense.weight, rows=[0])
    x = torch.randn(4, 3)

    small = compact(net, x)

    assert (small.dense.out_features, small.conv.in_channels) == (75, 3)
    assert_same_outputs(small, net, x)


def test_depthwise_convolutions_follow_and_grouped_ones_stay():
    for groups, channels in ((6, 4), (2, 6)):
        net = nn.Sequential(
            nn.Conv2d(1, 6, 3), nn.Conv2d(6, 6, 3, groups=groups), nn.ReLU(), nn.Conv2d(6, 2, 1)
        )
        silence(net[3].weight, columns=[0, 5])
        x = torch.randn(2, 1, 8, 8)

        small = compact(net, x)

        assert small[0].out_channels == small[3].in_channels == channels
        assert_same_outputs(small, net, x)


# Branches


class Branches(nn.Module):
    def __init__(self):
        super().__init__()
        self.left, self.right = nn.Conv2d(1, 4, 3), nn.Conv2d(1, 3, 3)
        self.skip, self.mix = nn.Conv2d(1, 7, 3), nn.Conv2d(7, 2, 3)

    def forward(self, x):
        both = torch.cat([self.left(x), self.right(x)], dim=1)
        return self.mix(torch.relu(both + self.skip(x)))


def test_concatenation_and_sum():
    net = Branches()
    silence(net.mix.weight, columns=[0, 5, 6])
    silence(net.left.weight, rows=[1])  # not dead: skip writes to it too
    silence(net.left.weight, rows=[2])
    silence(net.skip.weight, rows=[2])
    x = torch.randn(2, 1, 8, 8)

    small = compact(net, x)

    sizes = [m.out_channels for m in (small.left, small.right, small.skip, small.mix)]
    assert sizes == [2, 1, 3, 2]
    assert_same_outputs(small, net, x)


def test_every_branch_keeps_a_channel():
    net = Branches()
    nn.init.zeros_(net.mix.weight)
    x = torch.randn(2, 1, 8, 8)

    small = compact(net, x)

    assert [m.out_channels for m in (small.left, small.right, small.skip)] == [1, 1, 2]
    assert_same_outputs(small, net, x)


def test_resnet18_shrinks_to_the_size_counted_by_hand():
    net = shuffle_norms(resnet18(num_classes=10))
    # In every block half of the inner channels are unread, and go with their normalisation.
    blocks = [*net.layer1, *net.layer2, *net.layer3, *net.layer4]
    expected = size(net)
    for block in blocks:
        inner, outer = block.conv2.in_channels, block.conv2.out_channels
        silence(block.conv2.weight, columns=range(inner // 2))
        expected -= inner // 2 * (9 * block.conv1.in_channels + 2 + 9 * outer)
    # 16 channels of the residual stream of layer1 are read by nothing that follows.
    stem = [net.layer1[0].conv1, net.layer1[1].conv1, net.layer2[0].conv1]
    for conv in (*stem, net.layer2[0].downsample[0]):
        silence(conv.weight, columns=range(10, 26))
    written = 3 * 49 + 2 + 2 * (9 * 32 + 2)  # by conv1 and the two blocks, with normalisation
    read = 9 * 32 + 9 * 32 + 9 * 64 + 128  # by the inner convolutions, halved, and the shortcut
    expected -= 16 * (written + read)
    x = torch.randn(2, 3, 32, 32)

    small = compact(net, x)

    assert size(small) == expected
    assert net.training
    assert small.training
    assert_same_outputs(small, net, x)


@pytest.mark.parametrize("seed", range(4))
def test_residual_nets_with_random_zeroed_channels_keep_their_outputs(seed):
    torch.manual_seed(seed)
    net = shuffle_norms(ResNet(BasicBlock, [1, 1, 1, 1], num_classes=5))
    for module in net.modules():
        if isinstance(module, nn.Conv2d):
            rows, columns = (torch.rand(n) < 0.5 for n in module.weight.shape[:2])
            silence(module.weight, rows=rows.nonzero()[:, 0], columns=columns.nonzero()[:, 0])
    x = torch.randn(2, 3, 32, 32)

    small = compact(net, x)

    assert size(small) < 0.6 * size(net)
    assert_same_outputs(small, net, x)


def test_a_constant_behind_a_normalisation_layer_goes_only_where_it_is_zero():
    net = shuffle_norms(ResNet(BasicBlock, [1, 1, 1, 1], num_classes=5)).eval()
    block = net.layer3[0]
    silence(block.conv1.weight, rows=range(100))
    norm = block.bn1
    constants = norm.bias - norm.running_mean * norm.weight / (norm.running_var + norm.eps).sqrt()
    positive = int((constants[:100] > 0).sum())

    small = compact(net, torch.randn(2, 3, 32, 32))

    assert 0 < positive < 100
    assert small.layer3[0].conv1.out_channels == 156 + positive
