"""A mapping template: a matrix product with all of its weights on chip, its rows streamed by in blocks."""

from __future__ import annotations

import einsim


def weights_stay(cascade: einsim.Cascade, machine: einsim.Machine) -> einsim.Mapping:
    """The mapping of a cascade that is one product Z[m,n] of A[m,k] and B[k,n]."""
    if len(cascade.einsums) != 1 or len(cascade.inputs) != 2 or len(cascade.ranks) != 3:
        raise einsim.EinsimError("weights-stay: suits a single product of two matrices only")
    [product], [a, b], unit = cascade.einsums, cascade.inputs, machine.matrix_units[0]
    (m, n), (k,) = product.output.ranks, product.reduced
    along: dict[str, tuple[str, ...]] = {"cores": (m,), "rows": (k,), "cols": (n,)}
    spatial, stays = {dim: along[dim] for dim in unit.dims}, "weight-stationary"
    leaf = einsim.Compute(einsum=product.name, unit=unit.name, spatial=spatial, stationarity=stays)
    rows = einsim.Keep(tensors=(a.name, product.name), memory=unit.memories["inputs"], body=leaf)
    loop = einsim.Loop(rank=m, tile=min(1024, cascade.size(m)), body=rows)
    tree = einsim.Keep(tensors=(b.name,), memory=machine.memories[1].name, body=loop, buffers=1)
    return einsim.Mapping(cascade=cascade.name, machine=machine.name, template="weights-stay", tree=tree)


einsim.register_template("weights-stay", weights_stay, summary="a matrix product whose weights stay on chip")


def main() -> None:
    """The template beside the one that einsim would take."""
    product = einsim.parse_cascade(
        "Z[m,n] = A[m,k] * B[k,n]", name="product", sizes={"m": 4096, "n": 512, "k": 512}
    )
    for template in ("weights-stay", "template"):
        result = einsim.evaluate(product, "tpu-v4i", mapping=template).result
        moved = result.dram_bytes / 2**20
        print(f"{template}: {result.latency_s * 1e6:.1f} us, {moved:.1f} MiB of DRAM traffic")


if __name__ == "__main__":
    main()
