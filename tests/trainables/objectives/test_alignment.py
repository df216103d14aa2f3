import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor
from torch.nn import functional

from trainables.objectives.alignment import (
    ALIGNMENT_OBJECTIVES,
    info_nce,
    siglip,
    symmetric_info_nce,
    vicreg,
)
from trainables.objectives.info_nce import weigh_shifted
from trainables.objectives.term import alignment_and_gradients, alignment_loss

DIRECTIONS = ("both", "to_1", "to_2")


def projections(n_replicas: int, n: int, width: int, *, seed: int = 0, dtype=torch.float32) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(seed)
    z_1, z_2 = (torch.randn(n_replicas, n, width, generator=generator, dtype=dtype) for _ in range(2))
    return (0.7 * z_2 + z_1).requires_grad_(), z_2.requires_grad_()


def one_sided(z_1: Tensor, z_2: Tensor, direction: str) -> tuple[Tensor, Tensor]:
    """The projections, the one that is not pulled detached."""
    return z_1.detach() if direction == "to_2" else z_1, z_2.detach() if direction == "to_1" else z_2


def units(*shape: int, seed: int = 0, dtype=torch.float32) -> tuple[Tensor, ...]:
    return tuple(
        functional.normalize(z.detach(), dim=-1).requires_grad_() for z in projections(*shape, seed=seed, dtype=dtype)
    )


def plain_info_nce(z_1: Tensor, z_2: Tensor, temperature: float | Tensor) -> Tensor:
    temperatures = torch.as_tensor(temperature, dtype=z_1.dtype).expand(len(z_1))
    labels = torch.arange(z_1.shape[1])
    losses = []
    for first, second, tau in zip(z_1, z_2, temperatures, strict=True):
        logits = first @ second.T / tau
        losses.append((functional.cross_entropy(logits, labels) + functional.cross_entropy(logits.T, labels)) / 2)
    return torch.stack(losses)


def double(*tensors: Tensor) -> tuple[Tensor, ...]:
    return tuple(z.detach().double().requires_grad_() for z in tensors)


def gradients(loss: Tensor, *inputs: Tensor) -> tuple[Tensor, ...]:
    weights = torch.linspace(0.5, 2, len(loss), dtype=loss.dtype)  # each replica's upstream gradient is its own
    return torch.autograd.grad((loss * weights).sum(), inputs)


def assert_relative(actual: Tensor, expected: Tensor, tolerance: float) -> None:
    """Within `tolerance` of each replica's largest entry."""
    expected = expected.to(torch.float64)
    size = expected.abs().flatten(1).amax(1) if expected.ndim > 1 else expected.abs()
    error = (actual.double() - expected).abs()
    error = error.flatten(1).amax(1) if error.ndim > 1 else error
    assert (error <= tolerance * size).all(), (error / size).max()


class TestSymmetricInfoNCE:
    @pytest.mark.parametrize("temperature", [0.01, 0.024, 0.026, 0.07, 0.5, 10.0])
    @pytest.mark.parametrize("shape", [(1, 64, 12), (9, 256, 12), (2, 512, 64), (3, 1, 4), (2, 2, 1)])
    def test_float32_equals_the_plain_form(self, shape, temperature):
        z_1, z_2 = units(*shape)
        exact_1, exact_2 = double(z_1, z_2)
        actual, expected = symmetric_info_nce(z_1, z_2, temperature), plain_info_nce(exact_1, exact_2, temperature)
        # The similarities themselves are rounded at 6e-8; a temperature of 0.01 makes that 6e-6.
        assert torch.allclose(actual.double(), expected, rtol=1e-5, atol=2e-7 / temperature)
        if shape[1] > 1:
            for mine, theirs in zip(gradients(actual, z_1, z_2), gradients(expected, exact_1, exact_2), strict=True):
                assert_relative(mine, theirs, max(1e-5, 2e-7 / temperature))

    def test_value_is_accurate_where_the_pairs_are_well_aligned(self):
        (z, _) = units(2, 128, 64)
        exact = z.detach().double()
        for temperature in (0.03, 0.1):
            expected = plain_info_nce(exact, exact, temperature)
            assert (expected < 0.1).all()
            actual = symmetric_info_nce(z, z, temperature).double()
            assert torch.allclose(actual, expected, rtol=1e-5, atol=3e-7)

    @given(
        n_replicas=st.integers(1, 4),
        n=st.integers(1, 20),
        width=st.integers(1, 9),
        temperature=st.floats(0.01, 10),
        seed=st.integers(0, 99),
    )
    @settings(max_examples=60)
    def test_float64_equals_the_plain_form(self, n_replicas, n, width, temperature, seed):
        z_1, z_2 = units(n_replicas, n, width, seed=seed, dtype=torch.float64)
        actual, expected = symmetric_info_nce(z_1, z_2, temperature), plain_info_nce(z_1, z_2, temperature)
        torch.testing.assert_close(actual, expected, rtol=1e-10, atol=1e-10)
        for mine, theirs in zip(gradients(actual, z_1, z_2), gradients(expected, z_1, z_2), strict=True):
            torch.testing.assert_close(mine, theirs, rtol=1e-9, atol=1e-9)

    @pytest.mark.parametrize("temperature", [0.002, 0.3])  # by log-sum-exp, and bounded
    @pytest.mark.parametrize("direction", DIRECTIONS)
    def test_gradcheck(self, temperature, direction):
        z_1, z_2 = units(2, 4, 3, dtype=torch.float64)
        z_1, z_2 = one_sided(z_1, z_2, direction)
        assert torch.autograd.gradcheck(lambda a, b: symmetric_info_nce(a, b, temperature), (z_1, z_2), eps=1e-7)

    def test_second_derivative_is_refused(self):
        z_1, z_2 = units(1, 4, 3)
        with pytest.raises(RuntimeError, match="once only"):
            torch.autograd.grad(symmetric_info_nce(z_1, z_2, 0.1).sum(), z_1, create_graph=True)

    @pytest.mark.parametrize("temperature", [0.01, 0.1, 10.0])
    def test_collapsed_embeddings_give_log_n(self, temperature):
        z = torch.zeros(2, 50, 6)
        z[..., 2] = 1
        torch.testing.assert_close(symmetric_info_nce(z, z, temperature), torch.full((2,), math.log(50)))

    @pytest.mark.parametrize("temperature", [0.01, 0.1, 10.0])
    def test_orthonormal_pairs_have_the_closed_form(self, temperature):
        z = torch.eye(8).unsqueeze(0)
        expected = math.log1p(7 * math.exp(-1 / temperature))
        torch.testing.assert_close(
            symmetric_info_nce(z, z, temperature), torch.tensor([expected]), rtol=1e-5, atol=1e-7
        )

    @pytest.mark.parametrize("temperature", [0.01, 0.0125, 0.025, 0.1])
    def test_largest_possible_loss_is_finite(self, temperature):
        """Every pair opposed, all other combinations equal: 2/τ + log(N − 1) but for rounding."""
        sign = torch.tensor([1.0, -1.0]).view(1, 2, 1)
        z_1, z_2 = (sign * torch.ones(3, 2, 1)).requires_grad_(), (-sign * torch.ones(3, 2, 1)).requires_grad_()
        loss = symmetric_info_nce(z_1, z_2, temperature)
        torch.testing.assert_close(loss, torch.full((3,), 2 / temperature))
        assert all(g.isfinite().all() for g in gradients(loss, z_1, z_2))

    def test_single_sample_has_nothing_to_tell_apart(self):
        z_1, z_2 = units(3, 1, 5)
        loss = symmetric_info_nce(z_1, z_2, 0.1)
        assert (loss == 0).all()
        assert all((g == 0).all() for g in gradients(loss, z_1, z_2))

    def test_swapping_the_sides_changes_nothing(self):
        z_1, z_2 = units(3, 40, 5)
        torch.testing.assert_close(symmetric_info_nce(z_1, z_2, 0.2), symmetric_info_nce(z_2, z_1, 0.2))

    def test_temperatures_are_per_replica(self):
        z_1, z_2 = units(3, 40, 5)
        temperatures = torch.tensor([0.01, 0.1, 2.0])
        together = symmetric_info_nce(z_1, z_2, temperatures)
        alone = [symmetric_info_nce(z_1[k : k + 1], z_2[k : k + 1], float(t)) for k, t in enumerate(temperatures)]
        torch.testing.assert_close(together, torch.cat(alone))
        for mine, theirs in zip(gradients(together, z_1, z_2), gradients(torch.cat(alone), z_1, z_2), strict=True):
            torch.testing.assert_close(mine, theirs)

    def test_temperature_changed_in_place_is_read_again(self):
        z_1, z_2 = units(2, 40, 5)
        temperature = torch.full((2,), 1.0)
        symmetric_info_nce(z_1, z_2, temperature)
        temperature.fill_(0.01)
        torch.testing.assert_close(symmetric_info_nce(z_1, z_2, temperature), symmetric_info_nce(z_1, z_2, 0.01))

    def test_chunks_do_not_change_the_result(self, monkeypatch):
        z_1, z_2 = units(7, 32, 5)
        whole = symmetric_info_nce(z_1, z_2, 0.1)
        expected = whole.detach(), *gradients(whole, z_1, z_2)
        monkeypatch.setattr("trainables.objectives.info_nce.CPU_CHUNK_BYTES", 3 * 32 * 32 * 4)
        chunked = symmetric_info_nce(z_1, z_2, 0.1)
        for mine, theirs in zip((chunked.detach(), *gradients(chunked, z_1, z_2)), expected, strict=True):
            torch.testing.assert_close(mine, theirs)

    def test_nothing_of_size_knn_is_kept_for_the_backward_pass(self):
        z_1, z_2 = units(5, 64, 3)
        kept = []
        with torch.autograd.graph.saved_tensors_hooks(lambda t: kept.append(t.numel()), lambda _: None):
            symmetric_info_nce(z_1, z_2, 0.1)
        assert sum(kept) == 2 * 5 * 64 * 3

    @pytest.mark.parametrize("direction", ["to_1", "to_2"])
    def test_one_sided_leaves_the_other_without_gradient(self, direction):
        z_1, z_2 = units(2, 30, 4)
        expected = gradients(symmetric_info_nce(z_1, z_2, 0.1), z_1, z_2)
        loss = symmetric_info_nce(*one_sided(z_1, z_2, direction), 0.1)
        weights = torch.linspace(0.5, 2, 2)
        actual = torch.autograd.grad((loss * weights).sum(), (z_1, z_2), allow_unused=True)
        pulled = 0 if direction == "to_1" else 1
        assert actual[1 - pulled] is None
        torch.testing.assert_close(actual[pulled], expected[pulled])

    def test_value_without_gradient_is_the_same(self):
        z_1, z_2 = units(2, 30, 4)
        with torch.no_grad():
            value = symmetric_info_nce(z_1, z_2, 0.1)
        assert not value.requires_grad
        assert torch.equal(value, symmetric_info_nce(z_1, z_2, 0.1).detach())

    def test_autocast_does_not_change_it(self):
        z_1, z_2 = units(2, 30, 4)
        expected = symmetric_info_nce(z_1, z_2, 0.02)
        with torch.autocast("cpu", dtype=torch.bfloat16):
            actual = symmetric_info_nce(z_1, z_2, 0.02)
        assert torch.equal(actual, expected)

    def test_small_temperatures_make_no_subnormal_numbers(self):
        """Arithmetic on them is tens of times slower."""
        z_1, z_2 = units(2, 64, 3)
        logits = 100 * z_1.detach() @ z_2.detach().mT
        assert (logits - logits.amax()).min() < -110
        weigh_shifted(logits, torch.empty_like(logits))
        assert (logits[logits != 0].abs() >= torch.finfo(torch.float32).tiny).all()

    def test_half_precision_input_is_computed_in_float32(self):
        z_1, z_2 = (z.detach().bfloat16().requires_grad_() for z in units(2, 30, 4))
        loss = symmetric_info_nce(z_1, z_2, 0.1)
        assert loss.dtype == torch.float32
        torch.testing.assert_close(loss, symmetric_info_nce(z_1.float(), z_2.float(), 0.1))
        assert all(g.dtype == torch.bfloat16 for g in gradients(loss, z_1, z_2))

    @pytest.mark.parametrize(
        ("temperature", "message"),
        [
            (0.0, "above 0"),
            (-1.0, "above 0"),
            (math.nan, "above 0"),
            (torch.tensor([0.1, 0.0]), "above 0"),
            (torch.tensor([0.1, 0.1, 0.1]), r"shape \(3,\)"),
            (torch.tensor([0.1, 0.1], requires_grad=True), "constant"),
        ],
    )
    def test_bad_temperature_is_refused(self, temperature, message):
        z_1, z_2 = units(2, 5, 4)
        with pytest.raises(ValueError, match=message):
            symmetric_info_nce(z_1, z_2, temperature)

    @pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU")
    def test_gpu_equals_cpu_without_waiting_for_it(self):
        z_1, z_2 = units(5, 256, 12)
        temperature = torch.linspace(0.05, 1, 5)
        cpu = symmetric_info_nce(z_1, z_2, temperature)
        moved = [z.detach().cuda().requires_grad_() for z in (z_1, z_2)]
        temperature = temperature.cuda()
        symmetric_info_nce(*moved, temperature)
        torch.cuda.set_sync_debug_mode("error")
        try:
            gpu = symmetric_info_nce(*moved, temperature)
            actual = torch.autograd.grad(gpu.sum(), moved)
        finally:
            torch.cuda.set_sync_debug_mode("default")
        torch.testing.assert_close(gpu.cpu(), cpu, rtol=1e-5, atol=1e-6)
        for mine, theirs in zip(actual, torch.autograd.grad(cpu.sum(), (z_1, z_2)), strict=True):
            torch.testing.assert_close(mine.cpu(), theirs, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("name", ALIGNMENT_OBJECTIVES)
class TestEveryObjective:
    def test_one_loss_per_replica(self, name):
        assert ALIGNMENT_OBJECTIVES[name](*projections(3, 20, 6), 0.1).shape == (3,)

    @pytest.mark.parametrize("direction", DIRECTIONS)
    def test_gradcheck(self, name, direction):
        z_1, z_2 = projections(2, 5, 3, dtype=torch.float64)
        if direction != "both":  # the side that is not pulled is a constant
            (z_2 if direction == "to_1" else z_1).requires_grad_(False)
        assert torch.autograd.gradcheck(lambda a, b: ALIGNMENT_OBJECTIVES[name](a, b, 0.3), (z_1, z_2))

    def test_pairing_matters(self, name):
        z_1, z_2 = projections(3, 40, 6)
        objective = ALIGNMENT_OBJECTIVES[name]
        assert (objective(z_1, z_2, 0.1) < objective(z_1, z_2.roll(1, 1), 0.1)).all()

    def test_replicas_do_not_see_each_other(self, name):
        z_1, z_2 = projections(3, 20, 6)
        objective = ALIGNMENT_OBJECTIVES[name]
        together = objective(z_1, z_2, torch.tensor([0.05, 0.1, 0.2]))
        alone = torch.cat([objective(z_1[k : k + 1], z_2[k : k + 1], t) for k, t in enumerate((0.05, 0.1, 0.2))])
        torch.testing.assert_close(together, alone)
        for mine, theirs in zip(gradients(together, z_1, z_2), gradients(alone, z_1, z_2), strict=True):
            torch.testing.assert_close(mine, theirs)

    def test_diverged_replica_stays_alone(self, name):
        z_1, z_2 = projections(3, 20, 6)
        expected = gradients(ALIGNMENT_OBJECTIVES[name](z_1, z_2, 0.1), z_1, z_2)
        with torch.no_grad():
            z_1[1, 4, 2] = math.nan
        loss = ALIGNMENT_OBJECTIVES[name](z_1, z_2, 0.1)
        assert loss.isfinite().tolist() == [True, False, True]
        for mine, theirs in zip(gradients(loss, z_1, z_2), expected, strict=True):
            torch.testing.assert_close(mine[[0, 2]], theirs[[0, 2]])

    @pytest.mark.parametrize("row", [0.0, 0.3, 1e-20, 1e18])
    def test_collapsed_projections_are_finite(self, name, row):
        z_1, z_2 = (torch.full((2, 20, 6), row).requires_grad_() for _ in range(2))
        if name == "vicreg" and row == 1e18:
            pytest.skip("covariances of raw projections overflow there, by definition")
        loss = ALIGNMENT_OBJECTIVES[name](z_1, z_2, 0.1)
        assert loss.isfinite().all()
        assert all(g.isfinite().all() for g in gradients(loss, z_1, z_2))

    @pytest.mark.parametrize("direction", ["to_1", "to_2"])
    def test_one_sided_gradient_is_that_side_of_both(self, name, direction):
        z_1, z_2 = projections(2, 20, 6)
        pulled = 0 if direction == "to_1" else 1
        expected = gradients(ALIGNMENT_OBJECTIVES[name](z_1, z_2, 0.1), z_1, z_2)[pulled]
        loss = ALIGNMENT_OBJECTIVES[name](*one_sided(z_1, z_2, direction), 0.1)
        weights = torch.linspace(0.5, 2, 2)
        actual = torch.autograd.grad((loss * weights).sum(), (z_1, z_2), allow_unused=True)
        assert actual[1 - pulled] is None
        torch.testing.assert_close(actual[pulled], expected)

    def test_unknown_direction_is_refused(self, name):
        with pytest.raises(ValueError, match="unknown direction 'up'; choose one of both, to_1, to_2"):
            alignment_loss(*projections(2, 20, 6), 1.0, 1.0, 0.1, objective=name, direction="up")  # type: ignore[arg-type]

    def test_mismatched_shapes_are_refused(self, name):
        z_1, z_2 = projections(2, 20, 6)
        with pytest.raises(ValueError, match=r"give two of one shape \(K, N, D\)"):
            ALIGNMENT_OBJECTIVES[name](z_1, z_2[:, :19], 0.1)

    def test_strengths_scale_each_sides_gradient(self, name):
        z_1, z_2 = projections(3, 20, 6)
        strength_1, strength_2 = torch.tensor([0.0, 0.5, 2.0]), torch.tensor([1.0, 0.25, 0.0])
        objective = ALIGNMENT_OBJECTIVES[name]
        expected = strength_1 * objective(z_1, z_2.detach(), 0.1) + strength_2 * objective(z_1.detach(), z_2, 0.1)
        actual = alignment_loss(z_1, z_2, strength_1, strength_2, 0.1, objective=name)
        for mine, theirs in zip(gradients(actual, z_1, z_2), gradients(expected, z_1, z_2), strict=True):
            torch.testing.assert_close(mine, theirs)


class TestAlignmentLoss:
    def test_equal_strengths_give_the_papers_term(self):
        z_1, z_2 = projections(2, 20, 6)
        actual, expected = alignment_loss(z_1, z_2, 0.6, 0.6, 0.1), 0.6 * info_nce(z_1, z_2, 0.1)
        torch.testing.assert_close(actual, expected)
        for mine, theirs in zip(gradients(actual, z_1, z_2), gradients(expected, z_1, z_2), strict=True):
            torch.testing.assert_close(mine, theirs)

    @pytest.mark.parametrize(("direction", "strength"), [("both", 2.0), ("to_1", 1.0), ("to_2", 3.0)])
    def test_value_is_weighed_by_the_strengths_in_use(self, direction, strength):
        z_1, z_2 = projections(2, 20, 6)
        actual = alignment_loss(z_1, z_2, 1.0, 3.0, 0.1, direction=direction)
        torch.testing.assert_close(actual, strength * info_nce(z_1, z_2, 0.1))

    @pytest.mark.parametrize("name", ALIGNMENT_OBJECTIVES)
    def test_zero_strength_is_exactly_nothing_even_for_a_diverged_replica(self, name):
        z_1, z_2 = projections(3, 20, 6)
        with torch.no_grad():
            z_1[0] = math.nan
            z_2[1] = math.inf
        strength = torch.tensor([0.0, 0.0, 1.0])
        loss = alignment_loss(z_1, z_2, strength, strength, 0.1, objective=name)
        assert (loss[:2] == 0).all()
        for gradient in torch.autograd.grad(loss.sum(), (z_1, z_2)):
            assert (gradient[:2] == 0).all()
            assert (gradient[2] != 0).any()

    @pytest.mark.parametrize("positive", [False, True])
    @pytest.mark.parametrize("direction", ["both", "to_1", "to_2"])
    @pytest.mark.parametrize("name", ALIGNMENT_OBJECTIVES)
    def test_gradients_beside_the_value_are_those_of_autograd(self, name, direction, positive):
        z_1, z_2 = projections(3, 20, 6)
        strengths = torch.tensor([0.5, 1.0, 2.0]), torch.tensor([3.0, 0.2 if positive else 0.0, 1.0])
        options = {"objective": name, "direction": direction}
        for temperature in (0.1, torch.tensor([0.05, 0.1, 1.0])):
            loss = alignment_loss(z_1, z_2, *strengths, temperature, **options)
            value, given = alignment_and_gradients(
                z_1.detach(), z_2.detach(), *strengths, temperature, **options, positive=positive
            )
            torch.testing.assert_close(value, loss)
            sides = [(z, ours) for z, ours in zip((z_1, z_2), given, strict=True) if ours is not None]
            assert len(sides) == (2 if direction == "both" else 1)
            expected = torch.autograd.grad(loss.sum(), [z for z, _ in sides])
            for (_, ours), theirs in zip(sides, expected, strict=True):
                torch.testing.assert_close(ours, theirs)

    @pytest.mark.parametrize("name", ALIGNMENT_OBJECTIVES)
    def test_zero_strength_is_exactly_nothing_beside_the_value_as_well(self, name):
        z_1, z_2 = (z.detach() for z in projections(3, 20, 6))
        z_1[0] = math.nan
        z_2[1] = math.inf
        strength = torch.tensor([0.0, 0.0, 1.0])
        value, gradients = alignment_and_gradients(z_1, z_2, strength, strength, 0.1, objective=name)
        assert (value[:2] == 0).all()
        assert all((gradient[:2] == 0).all() for gradient in gradients)

    def test_strengths_may_be_numbers(self):
        z_1, z_2 = projections(2, 20, 6)
        numbers = gradients(alignment_loss(z_1, z_2, 0.0, 0.5, 0.1), z_1, z_2)
        tensors = gradients(alignment_loss(z_1, z_2, torch.zeros(2), torch.full((2,), 0.5), 0.1), z_1, z_2)
        assert all(torch.equal(a, b) for a, b in zip(numbers, tensors, strict=True))
        assert (numbers[0] == 0).all()

    def test_unknown_objective_is_refused(self):
        with pytest.raises(ValueError, match="unknown alignment objective 'clip'; choose one of info_nce, siglip"):
            alignment_loss(*projections(2, 20, 6), 1.0, 1.0, 0.1, objective="clip")

    @pytest.mark.parametrize("name", ALIGNMENT_OBJECTIVES)
    def test_autocast_changes_neither_value_nor_gradient(self, name):
        z_1, z_2 = projections(2, 20, 6)
        full = alignment_loss(z_1, z_2, 1.0, 1.0, 0.05, objective=name)
        with torch.autocast("cpu", dtype=torch.bfloat16):
            mixed = alignment_loss(z_1, z_2, 1.0, 1.0, 0.05, objective=name)
        assert torch.equal(mixed, full)
        for mine, theirs in zip(gradients(mixed, z_1, z_2), gradients(full, z_1, z_2), strict=True):
            assert torch.equal(mine, theirs)


class TestClosedForms:
    def test_info_nce_ignores_the_norms(self):
        z_1, z_2 = projections(2, 20, 6)
        torch.testing.assert_close(info_nce(5 * z_1, 0.01 * z_2, 0.1), info_nce(z_1, z_2, 0.1))

    def test_zero_row_has_no_direction_and_no_gradient(self):
        z_1, z_2 = projections(1, 4, 6)
        with torch.no_grad():
            z_1[0, 2] = 0
        (gradient,) = torch.autograd.grad(info_nce(z_1, z_2, 0.1).sum(), z_1)
        assert (gradient[0, 2] == 0).all()
        assert gradient.isfinite().all()

    def test_siglip_of_orthogonal_projections(self):
        n = 6
        z_1, z_2 = torch.eye(2 * n)[None, :n], torch.eye(2 * n)[None, n:]
        expected = math.log(n) + (n - 1) * math.log(n / (n - 1))
        torch.testing.assert_close(siglip(z_1, z_2, 0.1), torch.tensor([expected]))

    def test_siglip_is_the_paper_s_sum(self):
        z_1, z_2 = projections(1, 7, 3, dtype=torch.float64)
        similarity = functional.cosine_similarity(z_1[0, :, None], z_2[0, None], dim=-1)
        sign = 2 * torch.eye(7) - 1
        expected = -torch.log(torch.sigmoid(sign * (similarity / 0.2 - math.log(6)))).sum() / 7
        torch.testing.assert_close(siglip(z_1, z_2, 0.2), expected[None])

    def test_vicreg_of_collapsed_projections(self):
        z = torch.full((2, 20, 6), 0.4)
        torch.testing.assert_close(vicreg(z, z, 0.1), torch.full((2,), 2 * 0.99))

    def test_vicreg_terms(self):
        """Two columns, ±1 and copies of each other: variance 4/3, covariance 4/3, one off-diagonal pair over D = 2."""
        column = torch.tensor([1.0, 1.0, -1.0, -1.0])
        z = torch.stack([column, column], 1)[None]
        invariance, covariance = 0.25, (4 / 3) ** 2
        torch.testing.assert_close(vicreg(z, z + 0.5, 0.1), torch.tensor([invariance + 2 * covariance / 25]))

    def test_linear_cka_ignores_rotation_shift_and_scale(self):
        z, _ = projections(2, 30, 5)
        rotation = torch.linalg.qr(torch.randn(5, 5, generator=torch.Generator().manual_seed(3)))[0]
        loss = ALIGNMENT_OBJECTIVES["linear_cka"](z, 1e-3 * z @ rotation + 7e-3, 0.1)
        torch.testing.assert_close(loss, torch.zeros(2), atol=1e-5, rtol=0)

    def test_linear_cka_of_a_collapsed_side(self):
        z, _ = projections(2, 30, 5)
        flat = torch.full((2, 30, 5), 0.3).requires_grad_()
        loss = ALIGNMENT_OBJECTIVES["linear_cka"](z, flat, 0.1)
        assert (loss == 1).all()
        assert all((g == 0).all() for g in gradients(loss, z, flat))

    def test_cosine_runs_from_0_to_2(self):
        z, _ = projections(2, 30, 5)
        torch.testing.assert_close(ALIGNMENT_OBJECTIVES["cosine"](z, 3 * z, 0.1), torch.zeros(2), atol=1e-6, rtol=0)
        torch.testing.assert_close(ALIGNMENT_OBJECTIVES["cosine"](z, -z, 0.1), torch.full((2,), 2.0))

    def test_whitened_mse_runs_from_0_to_4_whatever_shift_and_scale(self):
        z, _ = projections(2, 30, 5)
        objective = ALIGNMENT_OBJECTIVES["whitened_mse"]
        torch.testing.assert_close(objective(z, 1e-3 * z + 7e-3, 0.1), torch.zeros(2), atol=1e-4, rtol=0)
        torch.testing.assert_close(objective(z, 7 - 2 * z, 0.1), torch.full((2,), 4.0), atol=1e-2, rtol=0)

    def test_whitened_mse_of_whitened_columns_counts_their_correlations(self):
        """Columns of a Hadamard matrix are whitened already; two of three agree, the third is uncorrelated."""
        one = torch.tensor([[1.0, -1.0], [1.0, 1.0]], dtype=torch.float64)
        columns = torch.kron(torch.kron(one, one), one).mT[None]
        columns = columns[..., columns[0].sum(0) == 0]
        loss = ALIGNMENT_OBJECTIVES["whitened_mse"](columns[..., [0, 1, 2]], columns[..., [0, 1, 3]], 0.1)
        torch.testing.assert_close(loss, torch.tensor([2 / 3], dtype=torch.float64), rtol=1e-3, atol=0)

    def test_whitened_mse_of_a_collapsed_side_has_no_gradient(self):
        z, _ = projections(2, 30, 5)
        flat = torch.full((2, 30, 5), 0.3).requires_grad_()
        loss = ALIGNMENT_OBJECTIVES["whitened_mse"](z, flat, 0.1)
        torch.testing.assert_close(loss, torch.ones(2), atol=1e-3, rtol=0)
        assert (gradients(loss, flat)[0] == 0).all()
