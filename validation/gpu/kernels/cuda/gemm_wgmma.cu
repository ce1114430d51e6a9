// C[m,n] = A[m,k] * B[n,k] in FP16 with FP32 sums: one warp loads tiles by TMA, warp groups multiply them by wgmma, blocks stay for all tiles.
// Macros: NAME, BM, BN, STAGES, GROUPS (warp groups that multiply, each BM / GROUPS rows), RASTER (block rows a raster group), SPLIT.
// With SPLIT a tile is multiplied by `splits` blocks, each a run of k, which leave FP32 sums [split][M][N] for split_sum.
// Threads: 128 * (GROUPS + 1); the last warp group loads, and gives registers up (SPARE a thread keeps)
// to the others (OWN; 0: none). M, N and K are free but for K a multiple of 8 (rows of 16-byte pieces): what a tile has beyond the matrix is zero.
extern "C" __device__ int NAME(int* status, u64 a_map, u64 b_map, u64 c_at, int M, int N, int K, int splits) {
    constexpr int BK = 64, MT = BM / 64 / GROUPS, A_BYTES = BM * 128, STAGE = (BM + BN) * 128, WARPS = 4 * GROUPS;
    extern __shared__ __align__(1024) unsigned char shared[];
    const u32 base = (shared_address(shared) + 1023) & ~1023u, out_base = base + STAGES * STAGE;
    const u32 full = out_base + WARPS * 2048, empty = full + 8 * STAGES;
    const int lane = threadIdx.x & 31, warp = threadIdx.x >> 5;
    const int tiles_m = (M + BM - 1) / BM, tiles_n = (N + BN - 1) / BN, tiles = tiles_m * tiles_n, steps = (K + BK - 1) / BK;
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
#if OWN
        registers_less<SPARE>();
#endif
        if (threadIdx.x == 128 * GROUPS) {
            map_acquire(a_map);
            map_acquire(b_map);
            for (int item = blockIdx.x; item < tiles * splits; item += gridDim.x) {
                place(item / splits, m0, n0);
                const int split = item % splits, begin = split * steps / splits, end = (split + 1) * steps / splits;
                for (int k = begin; k < end; ++k) {
                    const u32 to = base + stage * STAGE;
                    barrier_wait(empty + 8 * stage, phase ^ 1);
                    barrier_expect(full + 8 * stage, STAGE);
                    copy_tile(to, a_map, k * BK, m0, full + 8 * stage);
                    copy_tile(to + A_BYTES, b_map, k * BK, n0, full + 8 * stage);
                    if (++stage == STAGES) stage = 0, phase ^= 1;
                }
            }
        }
    } else {
#if OWN
        registers_more<OWN>();
#endif
        float acc[MT][BN / 2];
#pragma unroll
        for (int i = 0; i < MT; ++i)
#pragma unroll
            for (int j = 0; j < BN / 2; ++j) acc[i][j] = 0.0f;
        const u32 rows_at = base + (warp >> 2) * MT * 8192, out = out_base + warp * 2048;
        for (int item = blockIdx.x; item < tiles * splits; item += gridDim.x) {
            place(item / splits, m0, n0);
            const int split = item % splits, begin = split * steps / splits, end = (split + 1) * steps / splits;
            int before = 0;
            for (int k = begin; k < end; ++k) {
                barrier_wait(full + 8 * stage, phase);
#pragma unroll
                for (int i = 0; i < MT; ++i) held(acc[i]);
                wgmma_fence();
#pragma unroll
                for (int ks = 0; ks < 4; ++ks)
#pragma unroll
                    for (int i = 0; i < MT; ++i)
                        wgmma(acc[i], operand(rows_at + stage * STAGE + i * 8192 + ks * 32), operand(base + stage * STAGE + A_BYTES + ks * 32), (k - begin) | ks);
                wgmma_commit();
#pragma unroll
                for (int i = 0; i < MT; ++i) held(acc[i]);
                if (k > begin) {
                    wgmma_wait<1>();
                    if (lane == 0) barrier_arrive(empty + 8 * before);
                }
                before = stage;
                if (++stage == STAGES) stage = 0, phase ^= 1;
            }
            wgmma_wait<0>();
#pragma unroll
            for (int i = 0; i < MT; ++i) held(acc[i]);
            if (lane == 0) barrier_arrive(empty + 8 * before);
#if SPLIT
            float* sums = (float*)c_at + (u64)split * M * N;
#pragma unroll
            for (int i = 0; i < MT; ++i)
#pragma unroll
                for (int j = 0; j < BN / 4; ++j) {  // pairs of neighbours, of a row and of the eighth after it
                    const int m = m0 + ((warp >> 2) * MT + i) * 64 + (warp & 3) * 16 + (lane >> 2) + (j & 1) * 8, n = n0 + (j >> 1) * 8 + (lane & 3) * 2;
                    float* to = sums + (u64)m * N + n;
                    if (m < M && n + 1 < N && (N & 1) == 0) *(float2*)to = make_float2(acc[i][2 * j], acc[i][2 * j + 1]);
                    else if (m < M && n < N) {
                        to[0] = acc[i][2 * j];
                        if (n + 1 < N) to[1] = acc[i][2 * j + 1];
                    }
                }
#else
            const bool wide = (N & 7) == 0;
#pragma unroll
            for (int i = 0; i < MT; ++i)
#pragma unroll
                for (int j = 0; j < BN / 64; ++j) {
                    stage_rows(out, &acc[i][j * 32], 1.0f);
                    __syncwarp();
                    const int top = m0 + ((warp >> 2) * MT + i) * 64 + (warp & 3) * 16, left = n0 + j * 64;
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
#endif
        }
    }
    return 0;
}
#if SPLIT
extern "C" __device__ int split_sum(int* status, u64 from, u64 to, int splits, long long values) {  // a thread a result
    const long long at = (long long)blockIdx.x * blockDim.x + threadIdx.x;
    float sum = 0.0f;
    if (at < values) {
#pragma unroll 4
        for (int s = 0; s < splits; ++s) sum += ((const float*)from)[s * values + at];
        ((unsigned short*)to)[at] = (unsigned short)pack_half2(sum, 0.0f);
    }
    return 0;
}
#endif
