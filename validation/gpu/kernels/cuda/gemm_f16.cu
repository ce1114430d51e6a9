// C[m,n] = act(alpha * A[m,k] * B[n,k]) in FP16 with FP32 sums: cp.async stages, swizzled shared memory, ldmatrix, mma.sync.
// Macros: NAME, BM, BN, BK (32|64), STAGES, WM, WN (a warp's tile), GROUP (block rows a raster group), ACT (0 none, 1 GELU).
// K must be a multiple of BK and rows 16-byte aligned; M and N are free (edge rows are clamped on load, predicated on store;
// N a multiple of 8). blockIdx.y is a batch. The batch strides are in elements.
__device__ __forceinline__ float gelu(float x) {  // tanh form: x * sigmoid(1.5957691 (x + 0.044715 x^3))
    float u = x * (1.5957691216f + 0.0713548162726f * x * x);
    return x / (1.0f + exp2_fast(-1.44269504089f * u));
}

extern "C" __device__ int NAME(int* status, u64 a_at, u64 b_at, u64 c_at, int M, int N, int K, u64 a_batch, u64 b_batch, u64 c_batch,
                               float alpha) {
    constexpr int WARPS_N = BN / WN, THREADS = (BM / WM) * WARPS_N * 32, CHUNKS = BK / 8, ROW = BK * 2;
    constexpr int MT = WM / 16, NT = WN / 16, KS = BK / 16, A_BYTES = BM * ROW, STAGE = (BM + BN) * ROW;
    extern __shared__ __align__(1024) unsigned char shared[];
    const int tid = threadIdx.x, lane = tid & 31, warp = tid >> 5;
    const int wm = (warp / WARPS_N) * WM, wn = (warp % WARPS_N) * WN;
    const int tiles_m = (M + BM - 1) / BM, tiles_n = (N + BN - 1) / BN;
    const int group = GROUP * tiles_n, first = (blockIdx.x / group) * GROUP, inside = blockIdx.x % group;
    const int rows = min(tiles_m - first, GROUP);
    const int m0 = (first + inside % rows) * BM, n0 = (inside / rows) * BN;
    const unsigned char* a = (const unsigned char*)a_at + 2 * a_batch * blockIdx.y;
    const unsigned char* b = (const unsigned char*)b_at + 2 * b_batch * blockIdx.y;
    unsigned char* c = (unsigned char*)c_at + 2 * c_batch * blockIdx.y;
    const u32 base = shared_address(shared);

    constexpr int A_COPIES = BM * CHUNKS / THREADS, B_COPIES = BN * CHUNKS / THREADS, STEP = THREADS / CHUNKS;
    const int copy_row = tid / CHUNKS, copy_chunk = tid % CHUNKS;
    const unsigned char* a_from[A_COPIES];
    const unsigned char* b_from[B_COPIES];
    u32 a_to[A_COPIES], b_to[B_COPIES];
#pragma unroll
    for (int i = 0; i < A_COPIES; ++i) {
        int r = copy_row + i * STEP;
        a_from[i] = a + ((u64)min(m0 + r, M - 1) * K + copy_chunk * 8) * 2;
        a_to[i] = r * ROW + swizzle<CHUNKS>(r, copy_chunk) * 16;
    }
#pragma unroll
    for (int i = 0; i < B_COPIES; ++i) {
        int r = copy_row + i * STEP;
        b_from[i] = b + ((u64)min(n0 + r, N - 1) * K + copy_chunk * 8) * 2;
        b_to[i] = A_BYTES + r * ROW + swizzle<CHUNKS>(r, copy_chunk) * 16;
    }
    const int steps = K / BK;
    auto load = [&](int step) {
        if (step < steps) {
            u32 at = base + (step % STAGES) * STAGE;
            u64 off = (u64)step * ROW;
#pragma unroll
            for (int i = 0; i < A_COPIES; ++i) copy_async(at + a_to[i], a_from[i] + off);
#pragma unroll
            for (int i = 0; i < B_COPIES; ++i) copy_async(at + b_to[i], b_from[i] + off);
        }
        copy_commit();
    };
    const int a_row = wm + (lane & 15), a_chunk = lane >> 4;
    const int b_row = wn + (lane & 7) + ((lane >> 4) << 3), b_chunk = (lane >> 3) & 1;
    u32 af[2][MT][4], bf[2][NT][4];
    auto fragments = [&](int buffer, u32 at, int ks) {
#pragma unroll
        for (int i = 0; i < MT; ++i)
            load_matrix(af[buffer][i], at + (a_row + i * 16) * ROW + swizzle<CHUNKS>(a_row, ks * 2 + a_chunk) * 16);
#pragma unroll
        for (int i = 0; i < NT; ++i)
            load_matrix(bf[buffer][i], at + A_BYTES + (b_row + i * 16) * ROW + swizzle<CHUNKS>(b_row, ks * 2 + b_chunk) * 16);
    };
    float acc[MT][NT * 2][4];
#pragma unroll
    for (int i = 0; i < MT; ++i)
#pragma unroll
        for (int j = 0; j < NT * 2; ++j)
#pragma unroll
            for (int r = 0; r < 4; ++r) acc[i][j][r] = 0.0f;

#pragma unroll
    for (int s = 0; s < STAGES - 1; ++s) load(s);
    copy_wait<STAGES - 2>();
    __syncthreads();
    fragments(0, base, 0);
    for (int step = 0; step < steps; ++step) {
        const u32 here = base + (step % STAGES) * STAGE, next = base + ((step + 1) % STAGES) * STAGE;
#pragma unroll
        for (int ks = 0; ks < KS; ++ks) {
            if (ks == KS - 1) {
                copy_wait<STAGES - 2>();
                __syncthreads();
            }
            fragments((ks + 1) & 1, ks == KS - 1 ? next : here, (ks + 1) % KS);
            if (ks == 0) load(step + STAGES - 1);
#pragma unroll
            for (int i = 0; i < MT; ++i)
#pragma unroll
                for (int j = 0; j < NT * 2; ++j) mma(acc[i][j], af[ks & 1][i], bf[ks & 1][j >> 1][(j & 1) * 2], bf[ks & 1][j >> 1][(j & 1) * 2 + 1]);
        }
    }
    copy_wait<0>();
    __syncthreads();
    constexpr int OUT = BN * 2 + 16;  // padded row of the output tile, bytes
#pragma unroll
    for (int i = 0; i < MT; ++i)
#pragma unroll
        for (int j = 0; j < NT * 2; ++j) {
            float v[4];
#pragma unroll
            for (int r = 0; r < 4; ++r) {
                v[r] = acc[i][j][r] * alpha;
                if (ACT) v[r] = gelu(v[r]);
            }
            u32 at = base + (wm + i * 16 + (lane >> 2)) * OUT + (wn + j * 8 + (lane & 3) * 2) * 2;
            store_shared32(at, pack_half2(v[0], v[1]));
            store_shared32(at + 8 * OUT, pack_half2(v[2], v[3]));
        }
    __syncthreads();
    for (int i = tid; i < BM * (BN / 8); i += THREADS) {
        int r = i / (BN / 8), n = (i % (BN / 8)) * 8;
        if (m0 + r < M && n0 + n < N) store_global(c + ((u64)(m0 + r) * N + n0 + n) * 2, load_shared(base + r * OUT + n * 2));
    }
    return 0;
}
