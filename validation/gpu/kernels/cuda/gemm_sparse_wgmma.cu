// C[m,n] = A[m,k] * B[n,k], A 2:4 sparse along k, by wgmma.mma_async.sp: FP16 in and out, FP32 sums; roles as in gemm_wgmma.cu.
// A arrives compressed: values [m][k/2], metadata words [k/64][m/16][32] (kernels/gemm_sparse_wgmma.py). A step is 64 dense columns.
// Macros: NAME, BM, BN, STAGES, GROUPS (64 rows each), RASTER, SPARE, OWN. M a multiple of 64, K of 64; N is free.
extern "C" __device__ int NAME(int* status, u64 a_map, u64 meta_at, u64 b_map, u64 c_at, int M, int N, int K) {
    constexpr int BK = 64, A_BYTES = BM * 64, B_BYTES = BN * 128, STAGE = A_BYTES + B_BYTES + BM * 8, WARPS = 4 * GROUPS;
    extern __shared__ __align__(1024) unsigned char shared[];
    const u32 base = (shared_address(shared) + 1023) & ~1023u, out_base = base + STAGES * STAGE;
    const u32 full = out_base + WARPS * 2048, empty = full + 8 * STAGES;
    const int lane = threadIdx.x & 31, warp = threadIdx.x >> 5;
    const int tiles_m = (M + BM - 1) / BM, tiles_n = (N + BN - 1) / BN, tiles = tiles_m * tiles_n, steps = K / BK;
    if (threadIdx.x == 0) {
        for (int s = 0; s < STAGES; ++s) {
            barrier_init(full + 8 * s, 1);
            barrier_init(empty + 8 * s, WARPS);
        }
        barriers_made();
    }
    __syncthreads();
    auto place = [&](int tile, int& m0, int& n0) {
        const int group = RASTER * tiles_n, first = (tile / group) * RASTER, inside = tile % group, rows = min(tiles_m - first, RASTER);
        m0 = (first + inside % rows) * BM;
        n0 = (inside / rows) * BN;
    };
    int stage = 0, m0, n0;
    u32 phase = 0;
    if (warp >= WARPS) {
        registers_less<SPARE>();
        if (threadIdx.x == 128 * GROUPS) {
            map_acquire(a_map);
            map_acquire(b_map);
            for (int tile = blockIdx.x; tile < tiles; tile += gridDim.x) {
                place(tile, m0, n0);
                const int words = min(BM, M - m0) * 8;  // bytes of metadata that are there
                for (int k = 0; k < steps; ++k) {
                    const u32 to = base + stage * STAGE;
                    barrier_wait(empty + 8 * stage, phase ^ 1);
                    barrier_expect(full + 8 * stage, A_BYTES + B_BYTES + words);
                    copy_tile(to, b_map, k * BK, n0, full + 8 * stage);
                    copy_tile(to + B_BYTES, a_map, k * (BK / 2), m0, full + 8 * stage);
                    copy_bytes(to + B_BYTES + A_BYTES, (const void*)(meta_at + ((u64)k * M + m0) * 8), words, full + 8 * stage);
                    if (++stage == STAGES) stage = 0, phase ^= 1;
                }
            }
        }
    } else {
        registers_more<OWN>();
        float acc[BN / 2];
#pragma unroll
        for (int j = 0; j < BN / 2; ++j) acc[j] = 0.0f;
        const int group = warp >> 2;
        const u32 out = out_base + warp * 2048;
        for (int tile = blockIdx.x; tile < tiles; tile += gridDim.x) {
            place(tile, m0, n0);
            int before = 0;
            for (int k = 0; k < steps; ++k) {
                barrier_wait(full + 8 * stage, phase);
                const u32 at = base + stage * STAGE;
                u32 words;
                asm volatile("ld.shared.u32 %0, [%1];\n" : "=r"(words) : "r"(at + B_BYTES + A_BYTES + warp * 128 + lane * 4));
                held(acc);
                wgmma_fence();
                wgmma_sparse<0>(acc, operand64(at + B_BYTES + group * 4096), operand(at), words, k);
                wgmma_sparse<1>(acc, operand64(at + B_BYTES + group * 4096 + 32), operand(at + 64), words, 1);
                wgmma_commit();
                held(acc);
                if (k > 0) {
                    wgmma_wait<1>();
                    if (lane == 0) barrier_arrive(empty + 8 * before);
                }
                before = stage;
                if (++stage == STAGES) stage = 0, phase ^= 1;
            }
            wgmma_wait<0>();
            held(acc);
            if (lane == 0) barrier_arrive(empty + 8 * before);
            const bool wide = (N & 7) == 0;
#pragma unroll
            for (int j = 0; j < BN / 64; ++j) {
                stage_rows(out, &acc[j * 32], 1.0f);
                __syncwarp();
                const int top = m0 + warp * 16, left = n0 + j * 64;
#pragma unroll
                for (int p = lane; p < 128; p += 32) {
                    const int r = p >> 3, c = p & 7, n = left + c * 8;
                    if (top + r < M && n < N) {
                        const u64 to = c_at + ((u64)(top + r) * N + n) * 2;
                        const uint4 v = load_shared(out + r * 128 + (c ^ (r & 7)) * 16);
                        if (wide) store_global((void*)to, v);
                        else store_few(to, v, min(8, N - n));
                    }
                }
                __syncwarp();
            }
        }
    }
    return 0;
}
