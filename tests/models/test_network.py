import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from fedtrade.models import MLP, Linear, Network

NETWORKS = [Linear(3, 2), MLP(3, 2, hidden=[4]), MLP(3, 2, hidden=[4, 5]), MLP(3, 2, hidden=[])]


def _vector(*values: float) -> torch.Tensor:
    return torch.tensor(values, dtype=torch.float32)


def test_linear_by_hand() -> None:
    """Intercepts 1 and 2, weights (3, 4) and (5, 6): at (1, -1) they give 0 and 1."""
    found = Linear(2, 2)(_vector(1, 2, 3, 4, 5, 6), torch.tensor([[1.0, -1.0], [0.0, 0.0]]))
    assert found.tolist() == [[0.0, 1.0], [1.0, 2.0]]


def test_mlp_by_hand() -> None:
    """One unit tanh(0.5 + 2 x), then 1 + 3 tanh."""
    found = MLP(1, 1, hidden=[1])(_vector(0.5, 2.0, 1.0, 3.0), torch.tensor([[0.25]]))
    assert found.item() == pytest.approx(1.0 + 3.0 * np.tanh(1.0))


@pytest.mark.parametrize(("network", "n_params"), list(zip(NETWORKS, [8, 26, 53, 8], strict=True)))
def test_parameters_are_counted(network: Network, n_params: int) -> None:
    """3 -> 4 -> 2: 4 + 12 + 2 + 8 = 26; 3 -> 4 -> 5 -> 2: 16 + 25 + 12 = 53."""
    vector = network.initial(np.random.default_rng(0))
    assert network.n_params == n_params
    assert vector.shape == (n_params,)
    assert vector.dtype == np.float32


@pytest.mark.parametrize("network", NETWORKS)
def test_every_network_starts_as_the_zero_function(network: Network) -> None:
    vector = torch.from_numpy(network.initial(np.random.default_rng(1)))
    found = network(vector, torch.randn(7, 3, generator=torch.Generator().manual_seed(0)))
    assert found.tolist() == [[0.0, 0.0]] * 7


@pytest.mark.parametrize("network", NETWORKS[1:3])
def test_hidden_layers_start_different_from_one_seed_to_the_next(network: Network) -> None:
    one, same, other = (network.initial(np.random.default_rng(seed)) for seed in (0, 0, 1))
    assert (one == same).all()
    assert (one != other).any()


def test_hidden_weights_have_variance_one_over_fan_in() -> None:
    weights = MLP(100, 1, hidden=[200]).initial(np.random.default_rng(0))[200 : 200 + 20_000]
    assert weights.var() == pytest.approx(0.01, rel=0.03)
    assert np.abs(weights).max() <= np.sqrt(0.03)


@pytest.mark.parametrize("hidden", [[0], [3, -1]])
def test_a_layer_without_units_is_refused(hidden: list[int]) -> None:
    with pytest.raises(ValueError, match="at least one unit each, got hidden="):
        MLP(2, 1, hidden=hidden)


@given(seed=st.integers(0, 20))
def test_many_vectors_at_once_give_what_each_gives_alone(seed: int) -> None:
    """Vectors in rows, by which many models are trained at once."""
    generator = torch.Generator().manual_seed(seed)
    network = MLP(3, 2, hidden=[4])
    vectors = torch.randn(5, network.n_params, generator=generator)
    features = torch.randn(6, 3, generator=generator)
    together = network(vectors, features)
    alone = torch.stack([network(vector, features) for vector in vectors])
    torch.testing.assert_close(together, alone, atol=1e-5, rtol=1e-5)
