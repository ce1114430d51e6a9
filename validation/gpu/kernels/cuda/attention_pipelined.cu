// Fused one-pass attention with the next tile's scores computed during this tile's softmax: O = softmax(scale * Q K^T) V.
// As attention.cu (same layout and roles), but a warp holds two score tiles: between the mma.sync of Q K(j+1) it takes the exponentials
// of tile j, and between those of P V(j) the maximum of tile j+1. One barrier a tile.
// Macros: NAME, D (64|128), BM, BN, ROWS, CAUSAL. Rows of Q and K: multiples of BM and BN.
extern "C" __device__ int NAME(int* status, u64 q_at, u64 k_at, u64 v_at, u64 o_at, int heads, int length, float scale_log2) {
    constexpr int WARPS = BM / ROWS, THREADS = WARPS * 32, CHUNKS = D / 8, ROW = D * 2, MT = ROWS / 16, NT = BN / 8;
    constexpr int Q_BYTES = BM * ROW, TILE = BN * ROW;
    constexpr int SLICES = (D / 16) * (BN / 16), HALVES = MT * NT * 2;  // slices of mma work, half tiles of softmax work
    constexpr float HEADROOM = 8.0f;
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
    const u32 base = shared_address(shared), k_base = base + Q_BYTES, v_base = k_base + 2 * TILE;
    const int tiles = CAUSAL ? (q0 + BM + BN - 1) / BN : length / BN;

    auto load = [&](u32 to, const unsigned char* from, int rows) {
#pragma unroll
        for (int i = 0; i < rows * CHUNKS / THREADS; ++i) {
            int at = tid + i * THREADS, r = at / CHUNKS, c = at % CHUNKS;
            copy_async(to + r * ROW + swizzle<CHUNKS>(r, c) * 16, from + (u64)r * ROW + c * 16);
        }
    };
    auto load_step = [&](int tile) {  // what step `tile` needs: the next K and this V
        if (tile + 1 < tiles) load(k_base + ((tile + 1) & 1) * TILE, k + (u64)(tile + 1) * TILE, BN);
        if (tile < tiles) load(v_base + (tile & 1) * TILE, v + (u64)tile * TILE, BN);
        copy_commit();
    };
    load(base, q, BM);
    load(k_base, k, BN);
    copy_commit();
    load_step(0);

    float out[MT][D / 8][4], top[MT][2], sum[MT][2], high[MT][2], shift[MT][2], s[MT][NT][4];
#pragma unroll
    for (int i = 0; i < MT; ++i) {
#pragma unroll
        for (int j = 0; j < D / 8; ++j)
#pragma unroll
            for (int r = 0; r < 4; ++r) out[i][j][r] = 0.0f;
        top[i][0] = top[i][1] = high[i][0] = high[i][1] = -1e30f;
        shift[i][0] = shift[i][1] = 0.0f;
        sum[i][0] = sum[i][1] = 0.0f;
    }
    const int q_row = warp * ROWS + (lane & 15), q_chunk = lane >> 4;
    const int k_row = (lane & 7) + ((lane >> 4) << 3), k_chunk = (lane >> 3) & 1;
    const int v_row = lane & 15, v_chunk = lane >> 4;
    constexpr bool HOLD = D == 64 && BN == 32;  // Q's fragments fit in registers for the whole run
    u32 qf[HOLD ? D / 16 : 1][MT][4];

    auto scores_slice = [&](float (&to)[MT][NT][4], u32 k_now, int slice) {  // 16 of D, 16 keys
        const int ks = slice / (BN / 16), j = slice % (BN / 16);
        if (j == 0 && !HOLD)
#pragma unroll
            for (int i = 0; i < MT; ++i) load_matrix(qf[0][i], base + (q_row + i * 16) * ROW + swizzle<CHUNKS>(q_row, ks * 2 + q_chunk) * 16);
        u32 kf[4];
        load_matrix(kf, k_now + (k_row + j * 16) * ROW + swizzle<CHUNKS>(k_row, ks * 2 + k_chunk) * 16);
#pragma unroll
        for (int i = 0; i < MT; ++i) {
            if (ks == 0)
#pragma unroll
                for (int r = 0; r < 4; ++r) to[i][2 * j][r] = to[i][2 * j + 1][r] = 0.0f;
            mma(to[i][2 * j], qf[HOLD ? ks : 0][i], kf[0], kf[1]);
            mma(to[i][2 * j + 1], qf[HOLD ? ks : 0][i], kf[2], kf[3]);
        }
    };
    auto mask = [&](float (&of)[MT][NT][4], int tile) {
        if (CAUSAL && tile * BN + BN - 1 > q0 + warp * ROWS) {
#pragma unroll
            for (int i = 0; i < MT; ++i)
#pragma unroll
                for (int j = 0; j < NT; ++j)
#pragma unroll
                    for (int r = 0; r < 4; ++r) {
                        int column = tile * BN + j * 8 + (lane & 3) * 2 + (r & 1), row = q0 + warp * ROWS + i * 16 + (lane >> 2) + (r >> 1) * 8;
                        if (column > row) of[i][j][r] = -1e30f;
                    }
        }
    };
    // Exponents are taken against `top`, a maximum seen earlier. It is raised, and what was summed under it rescaled, only when some score
    // of the warp passes it by 2^HEADROOM: the weights stay far below FP16's 65504, and the quotient is the same.
    auto raise = [&]() {
        bool passed = false;
#pragma unroll
        for (int i = 0; i < MT; ++i)
#pragma unroll
            for (int h = 0; h < 2; ++h) passed |= (high[i][h] - top[i][h]) * scale_log2 > HEADROOM;
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
        for (int i = 0; i < MT; ++i) high[i][0] = high[i][1] = -1e30f;
    };
    u32 p[MT][NT][2];
    auto exponentials = [&](int slice) {
#pragma unroll
        for (int n = slice * HALVES / SLICES; n < (slice + 1) * HALVES / SLICES; ++n) {
            const int i = n / 2 / NT, j = n / 2 % NT, h = n % 2;
            const float x = exp2_fast(fmaf(s[i][j][2 * h], scale_log2, shift[i][h])), y = exp2_fast(fmaf(s[i][j][2 * h + 1], scale_log2, shift[i][h]));
            sum[i][h] += x + y;
            p[i][j][h] = pack_half2(x, y);
        }
    };
    auto values_slice = [&](u32 v_now, int slice) {  // 16 keys, 16 of D
        const int ks = slice / (D / 16), j = slice % (D / 16);
        u32 vf[4];
        load_matrix_transposed(vf, v_now + (v_row + ks * 16) * ROW + swizzle<CHUNKS>(v_row, j * 2 + v_chunk) * 16);
#pragma unroll
        for (int i = 0; i < MT; ++i) {
            const u32 pf[4] = {p[i][2 * ks][0], p[i][2 * ks][1], p[i][2 * ks + 1][0], p[i][2 * ks + 1][1]};
            mma(out[i][2 * j], pf, vf[0], vf[1]);
            mma(out[i][2 * j + 1], pf, vf[2], vf[3]);
        }
    };
    auto maxima = [&](const float (&of)[MT][NT][4], int slice) {
#pragma unroll
        for (int n = slice * HALVES / SLICES; n < (slice + 1) * HALVES / SLICES; ++n) {
            const int i = n / 2 / NT, j = n / 2 % NT, h = n % 2;
            high[i][h] = fmaxf(high[i][h], fmaxf(of[i][j][2 * h], of[i][j][2 * h + 1]));
        }
    };

    copy_wait<1>();
    __syncthreads();
    if (HOLD)
#pragma unroll
        for (int ks = 0; ks < D / 16; ++ks)
#pragma unroll
            for (int i = 0; i < MT; ++i)
                load_matrix(qf[HOLD ? ks : 0][i], base + (q_row + i * 16) * ROW + swizzle<CHUNKS>(q_row, ks * 2 + q_chunk) * 16);
#pragma unroll
    for (int n = 0; n < SLICES; ++n) scores_slice(s, k_base, n);
    mask(s, 0);
#pragma unroll
    for (int n = 0; n < SLICES; ++n) maxima(s, n);
    // The last tile that this warp's rows see. Under a causal mask the block's later tiles are only loaded, for the warps below; with
    // D = 128 the code for that costs more registers than it saves work, and every warp computes them all.
    constexpr bool SKIP = CAUSAL && D == 64;
    const int last = SKIP ? (q0 + warp * ROWS + ROWS - 1) / BN : tiles - 1;
    int tile = 0;
    for (; tile < last; ++tile) {
        copy_wait<0>();
        __syncthreads();
        load_step(tile + 1);
        raise();
        float next[MT][NT][4];
        const u32 k_next = k_base + ((tile + 1) & 1) * TILE, v_now = v_base + (tile & 1) * TILE;
#pragma unroll
        for (int n = 0; n < SLICES; ++n) {
            scores_slice(next, k_next, n);
            exponentials(n);
        }
        mask(next, tile + 1);
#pragma unroll
        for (int n = 0; n < SLICES; ++n) {
            values_slice(v_now, n);
            maxima(next, n);
        }
#pragma unroll
        for (int i = 0; i < MT; ++i)
#pragma unroll
            for (int j = 0; j < NT; ++j)
#pragma unroll
                for (int r = 0; r < 4; ++r) s[i][j][r] = next[i][j][r];
    }
    copy_wait<0>();
    __syncthreads();
    if (SKIP) load_step(tile + 1);
    raise();
#pragma unroll
    for (int n = 0; n < SLICES; ++n) exponentials(n);
#pragma unroll
    for (int n = 0; n < SLICES; ++n) values_slice(v_base + (tile & 1) * TILE, n);
    if (SKIP)
        for (++tile; tile < tiles; ++tile) {
            copy_wait<0>();
            __syncthreads();
            load_step(tile + 1);
        }
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
