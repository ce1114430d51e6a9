// C[m,n] = A[m,k] * B[n,k], A 2:4 sparse along k, by mma.sp m16n8k32: FP16 in and out, FP32 sums.
// A arrives compressed: values [m][k/2], metadata words [m/16][k/64][32], packed by kernels/gemm_sparse.py (`pack`).
// Macros: NAME, BM, BN, STAGES, WM, WN, GROUP. BK is 64 dense columns. M a multiple of 16, K of 64, N of 8.
extern "C" __device__ int NAME(int* status, u64 a_at, u64 meta_at, u64 b_at, u64 c_at, int M, int N, int K) {
    constexpr int BK = 64, WARPS_N = BN / WN, THREADS = (BM / WM) * WARPS_N * 32;
    constexpr int A_ROW = BK, B_ROW = BK * 2, A_CHUNKS = 4, B_CHUNKS = 8;  // bytes, bytes, 16-byte chunks
    constexpr int MT = WM / 16, NT = WN / 8, META = BM * 8;                // a metadata word a lane for 16 rows of 64 columns
    constexpr int A_BYTES = BM * A_ROW, B_BYTES = BN * B_ROW, STAGE = A_BYTES + B_BYTES + META;
    extern __shared__ __align__(1024) unsigned char shared[];
    const int tid = threadIdx.x, lane = tid & 31, warp = tid >> 5;
    const int wm = (warp / WARPS_N) * WM, wn = (warp % WARPS_N) * WN;
    const int tiles_m = (M + BM - 1) / BM, tiles_n = (N + BN - 1) / BN;
    const int group = GROUP * tiles_n, first = (blockIdx.x / group) * GROUP, inside = blockIdx.x % group;
    const int rows = min(tiles_m - first, GROUP);
    const int m0 = (first + inside % rows) * BM, n0 = (inside / rows) * BN;
    const unsigned char *a = (const unsigned char*)a_at, *b = (const unsigned char*)b_at, *meta = (const unsigned char*)meta_at;
    unsigned char* c = (unsigned char*)c_at;
    const u32 base = shared_address(shared);
    const int steps = K / BK;

    constexpr int A_COPIES = BM * A_CHUNKS / THREADS, B_COPIES = BN * B_CHUNKS / THREADS;
    const int a_copy_row = tid / A_CHUNKS, a_copy_chunk = tid % A_CHUNKS, b_copy_row = tid / B_CHUNKS, b_copy_chunk = tid % B_CHUNKS;
    auto load = [&](int step) {
        if (step < steps) {
            u32 at = base + (step % STAGES) * STAGE;
#pragma unroll
            for (int i = 0; i < A_COPIES; ++i) {
                int r = a_copy_row + i * (THREADS / A_CHUNKS);
                copy_async(at + r * A_ROW + swizzle<A_CHUNKS>(r, a_copy_chunk) * 16,
                           a + (u64)min(m0 + r, M - 1) * K + step * A_ROW + a_copy_chunk * 16);
            }
#pragma unroll
            for (int i = 0; i < B_COPIES; ++i) {
                int r = b_copy_row + i * (THREADS / B_CHUNKS);
                copy_async(at + A_BYTES + r * B_ROW + swizzle<B_CHUNKS>(r, b_copy_chunk) * 16,
                           b + ((u64)min(n0 + r, N - 1) * K) * 2 + (u64)step * B_ROW + b_copy_chunk * 16);
            }
            for (int i = tid; i < BM / 16 * 8; i += THREADS)
                copy_async(at + A_BYTES + B_BYTES + i * 16, meta + ((u64)min(m0 / 16 + i / 8, M / 16 - 1) * steps + step) * 128 + (i % 8) * 16);
        }
        copy_commit();
    };
    const int a_row = wm + (lane & 15), a_chunk = lane >> 4, b_row = wn + (lane & 7), b_chunk = lane >> 3;
    float acc[MT][NT][4];
#pragma unroll
    for (int i = 0; i < MT; ++i)
#pragma unroll
        for (int j = 0; j < NT; ++j)
#pragma unroll
            for (int r = 0; r < 4; ++r) acc[i][j][r] = 0.0f;
#pragma unroll
    for (int s = 0; s < STAGES - 1; ++s) load(s);
    for (int step = 0; step < steps; ++step) {
        copy_wait<STAGES - 2>();
        __syncthreads();
        load(step + STAGES - 1);
        const u32 at = base + (step % STAGES) * STAGE;
        u32 words[MT];
#pragma unroll
        for (int i = 0; i < MT; ++i)
            asm volatile("ld.shared.u32 %0, [%1];\n" : "=r"(words[i]) : "r"(at + A_BYTES + B_BYTES + (wm / 16 + i) * 128 + lane * 4));
#pragma unroll
        for (int half = 0; half < 2; ++half) {  // 32 dense columns each
            u32 af[MT][4];
#pragma unroll
            for (int i = 0; i < MT; ++i)
                load_matrix(af[i], at + (a_row + i * 16) * A_ROW + swizzle<A_CHUNKS>(a_row, half * 2 + a_chunk) * 16);
#pragma unroll
            for (int j = 0; j < NT; ++j) {
                u32 bf[4];
                load_matrix(bf, at + A_BYTES + (b_row + j * 8) * B_ROW + swizzle<B_CHUNKS>(b_row, half * 4 + b_chunk) * 16);
#pragma unroll
                for (int i = 0; i < MT; ++i) {
                    if (half == 0) mma_sparse<0>(acc[i][j], af[i], bf, words[i]);
                    else mma_sparse<1>(acc[i][j], af[i], bf, words[i]);
                }
            }
        }
    }
    copy_wait<0>();
    __syncthreads();
    constexpr int OUT = BN * 2 + 16;
#pragma unroll
    for (int i = 0; i < MT; ++i)
#pragma unroll
        for (int j = 0; j < NT; ++j) {
            u32 at = base + (wm + i * 16 + (lane >> 2)) * OUT + (wn + j * 8 + (lane & 3) * 2) * 2;
            store_shared32(at, pack_half2(acc[i][j][0], acc[i][j][1]));
            store_shared32(at + 8 * OUT, pack_half2(acc[i][j][2], acc[i][j][3]));
        }
    __syncthreads();
    for (int i = tid; i < BM * (BN / 8); i += THREADS) {
        int r = i / (BN / 8), n = (i % (BN / 8)) * 8;
        if (m0 + r < M && n0 + n < N) store_global(c + ((u64)(m0 + r) * N + n0 + n) * 2, load_shared(base + r * OUT + n * 2));
    }
    return 0;
}
