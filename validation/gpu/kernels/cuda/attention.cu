// Fused one-pass attention, O = softmax(scale * Q K^T) V, of one block of BM query rows against all keys it may see.
// Q, K, V, O are [head][row][D] FP16. A warp owns ROWS query rows (16 or 32): scores, running maximum, running sum and output stay in
// its registers; K and V tiles of BN rows come by cp.async, two stages deep; both products are mma.sync.
// Macros: NAME, D (64|128), BM, BN, ROWS, CAUSAL. Rows of Q and K: multiples of BM and BN.
extern "C" __device__ int NAME(int* status, u64 q_at, u64 k_at, u64 v_at, u64 o_at, int heads, int length, float scale_log2) {
    constexpr int WARPS = BM / ROWS, THREADS = WARPS * 32, CHUNKS = D / 8, ROW = D * 2, MT = ROWS / 16;
    constexpr int Q_BYTES = BM * ROW, TILE = BN * ROW;
    extern __shared__ __align__(1024) unsigned char shared[];
    const int tid = threadIdx.x, lane = tid & 31, warp = tid >> 5;
    const int q_blocks = length / BM;
    int head, q_block;
    if (CAUSAL) {  // longest blocks first, heads side by side
        head = blockIdx.x % heads;
        q_block = q_blocks - 1 - blockIdx.x / heads;
    } else {
        head = blockIdx.x / q_blocks;
        q_block = blockIdx.x % q_blocks;
    }
    const u64 head_bytes = (u64)length * ROW;
    const int q0 = q_block * BM;
    const unsigned char* q = (const unsigned char*)q_at + head * head_bytes + (u64)q0 * ROW;
    const unsigned char* k = (const unsigned char*)k_at + head * head_bytes;
    const unsigned char* v = (const unsigned char*)v_at + head * head_bytes;
    unsigned char* o = (unsigned char*)o_at + head * head_bytes + (u64)q0 * ROW;
    const u32 base = shared_address(shared), kv_base = base + Q_BYTES;
    const int tiles = CAUSAL ? (q0 + BM + BN - 1) / BN : length / BN;

    auto load = [&](u32 to, const unsigned char* from, int rows) {
#pragma unroll
        for (int i = 0; i < rows * CHUNKS / THREADS; ++i) {
            int at = tid + i * THREADS, r = at / CHUNKS, c = at % CHUNKS;
            copy_async(to + r * ROW + swizzle<CHUNKS>(r, c) * 16, from + (u64)r * ROW + c * 16);
        }
    };
    load(base, q, BM);
    load(kv_base, k, BN);
    copy_commit();
    load(kv_base + TILE, v, BN);
    copy_commit();

    constexpr float HEADROOM = 8.0f;
    float out[MT][D / 8][4], top[MT][2], shift[MT][2], sum[MT][2];
#pragma unroll
    for (int i = 0; i < MT; ++i) {
#pragma unroll
        for (int j = 0; j < D / 8; ++j)
#pragma unroll
            for (int r = 0; r < 4; ++r) out[i][j][r] = 0.0f;
        top[i][0] = top[i][1] = -1e30f;
        shift[i][0] = shift[i][1] = 0.0f;
        sum[i][0] = sum[i][1] = 0.0f;
    }
    const int q_row = warp * ROWS + (lane & 15), q_chunk = lane >> 4;
    const int k_row = (lane & 7) + ((lane >> 4) << 3), k_chunk = (lane >> 3) & 1;
    const int v_row = lane & 15, v_chunk = lane >> 4;

    for (int tile = 0; tile < tiles; ++tile) {
        const u32 k_now = kv_base + (tile & 1) * 2 * TILE, v_now = k_now + TILE, k_next = kv_base + ((tile + 1) & 1) * 2 * TILE;
        copy_wait<1>();  // K of this tile is here, V may still be on its way
        __syncthreads();
        const bool more = tile + 1 < tiles;
        if (more) load(k_next, k + (u64)(tile + 1) * TILE, BN);
        copy_commit();
        float s[MT][BN / 8][4];
#pragma unroll
        for (int i = 0; i < MT; ++i)
#pragma unroll
            for (int j = 0; j < BN / 8; ++j)
#pragma unroll
                for (int r = 0; r < 4; ++r) s[i][j][r] = 0.0f;
#pragma unroll
        for (int ks = 0; ks < D / 16; ++ks) {
            u32 qf[MT][4];
#pragma unroll
            for (int i = 0; i < MT; ++i) load_matrix(qf[i], base + (q_row + i * 16) * ROW + swizzle<CHUNKS>(q_row, ks * 2 + q_chunk) * 16);
#pragma unroll
            for (int j = 0; j < BN / 16; ++j) {
                u32 kf[4];
                load_matrix(kf, k_now + (k_row + j * 16) * ROW + swizzle<CHUNKS>(k_row, ks * 2 + k_chunk) * 16);
#pragma unroll
                for (int i = 0; i < MT; ++i) {
                    mma(s[i][2 * j], qf[i], kf[0], kf[1]);
                    mma(s[i][2 * j + 1], qf[i], kf[2], kf[3]);
                }
            }
        }
        if (CAUSAL && tile * BN + BN - 1 > q0 + warp * ROWS) {
#pragma unroll
            for (int i = 0; i < MT; ++i)
#pragma unroll
                for (int j = 0; j < BN / 8; ++j)
#pragma unroll
                    for (int r = 0; r < 4; ++r) {
                        int column = tile * BN + j * 8 + (lane & 3) * 2 + (r & 1), row = q0 + warp * ROWS + i * 16 + (lane >> 2) + (r >> 1) * 8;
                        if (column > row) s[i][j][r] = -1e30f;
                    }
        }
        float high[MT][2];
        bool passed = false;
#pragma unroll
        for (int i = 0; i < MT; ++i)
#pragma unroll
            for (int h = 0; h < 2; ++h) {
                high[i][h] = -1e30f;
#pragma unroll
                for (int j = 0; j < BN / 8; ++j) high[i][h] = fmaxf(high[i][h], fmaxf(s[i][j][2 * h], s[i][j][2 * h + 1]));
                passed |= (high[i][h] - top[i][h]) * scale_log2 > HEADROOM;
            }
        // Exponents are taken against `top`, a maximum seen earlier. It is raised, and what was summed under it rescaled, only when some
        // score of the warp passes it by 2^HEADROOM: the weights stay far below FP16's 65504, and the quotient is the same.
        if (__any_sync(0xffffffffu, passed)) {
#pragma unroll
            for (int i = 0; i < MT; ++i)
#pragma unroll
                for (int h = 0; h < 2; ++h) {
                    float m = fmaxf(high[i][h], __shfl_xor_sync(0xffffffffu, high[i][h], 1));
                    m = fmaxf(top[i][h], fmaxf(m, __shfl_xor_sync(0xffffffffu, m, 2)));
                    const float scale = exp2_fast((top[i][h] - m) * scale_log2);
                    sum[i][h] *= scale;
#pragma unroll
                    for (int j = 0; j < D / 8; ++j) {
                        out[i][j][2 * h] *= scale;
                        out[i][j][2 * h + 1] *= scale;
                    }
                    top[i][h] = m;
                    shift[i][h] = -m * scale_log2;
                }
        }
#pragma unroll
        for (int i = 0; i < MT; ++i)
#pragma unroll
            for (int j = 0; j < BN / 8; ++j)
#pragma unroll
                for (int r = 0; r < 4; ++r) {
                    s[i][j][r] = exp2_fast(fmaf(s[i][j][r], scale_log2, shift[i][r >> 1]));
                    sum[i][r >> 1] += s[i][j][r];
                }
        copy_wait<1>();  // V of this tile is here, the next K may still be on its way
        __syncthreads();
        if (more) load(k_next + TILE, v + (u64)(tile + 1) * TILE, BN);
        copy_commit();
#pragma unroll
        for (int ks = 0; ks < BN / 16; ++ks) {
            u32 p[MT][4];
#pragma unroll
            for (int i = 0; i < MT; ++i) {
                p[i][0] = pack_half2(s[i][2 * ks][0], s[i][2 * ks][1]);
                p[i][1] = pack_half2(s[i][2 * ks][2], s[i][2 * ks][3]);
                p[i][2] = pack_half2(s[i][2 * ks + 1][0], s[i][2 * ks + 1][1]);
                p[i][3] = pack_half2(s[i][2 * ks + 1][2], s[i][2 * ks + 1][3]);
            }
#pragma unroll
            for (int j = 0; j < D / 16; ++j) {
                u32 vf[4];
                load_matrix_transposed(vf, v_now + (v_row + ks * 16) * ROW + swizzle<CHUNKS>(v_row, j * 2 + v_chunk) * 16);
#pragma unroll
                for (int i = 0; i < MT; ++i) {
                    mma(out[i][2 * j], p[i], vf[0], vf[1]);
                    mma(out[i][2 * j + 1], p[i], vf[2], vf[3]);
                }
            }
        }
    }
    copy_wait<0>();
#pragma unroll
    for (int i = 0; i < MT; ++i)
#pragma unroll
        for (int h = 0; h < 2; ++h) {
            float total = sum[i][h];
            total += __shfl_xor_sync(0xffffffffu, total, 1);
            total += __shfl_xor_sync(0xffffffffu, total, 2);
            const float inverse = 1.0f / total;
            const int r = warp * ROWS + i * 16 + (lane >> 2) + h * 8;  // its own warp's rows of Q's tile: nobody else reads them now
#pragma unroll
            for (int j = 0; j < D / 8; ++j)
                store_shared32(base + r * ROW + swizzle<CHUNKS>(r, j) * 16 + (lane & 3) * 4,
                               pack_half2(out[i][j][2 * h] * inverse, out[i][j][2 * h + 1] * inverse));
        }
    __syncwarp();
    for (int at = lane; at < ROWS * CHUNKS; at += 32) {
        int r = warp * ROWS + at / CHUNKS, c = at % CHUNKS;
        store_global(o + (u64)r * ROW + c * 16, load_shared(base + r * ROW + swizzle<CHUNKS>(r, c) * 16));
    }
    return 0;
}
