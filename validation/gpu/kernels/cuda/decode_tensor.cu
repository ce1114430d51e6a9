// Decode attention where a key head serves SHARE query heads (at most 16) by mma.sync, split along the keys: the queries are the 16 rows of a
// product, so that a key is read once for all of them. q is [key head][SHARE][D] FP16; K, V are [key head][row][D].
// Tiles of 64 keys come by cp.async, STAGES of them; each of four warps takes 16 keys of a tile, with an online softmax of its own, and the block
// merges the four at the end. Partial results: [query head][split] of m, l, o[D] in FP32, for decode_combine. Macros: D (64|128), SHARE, STAGES.
constexpr int T_ROWS = 64, T_THREADS = 128, T_CHUNKS = D / 8, T_BYTES = T_ROWS * D * 2, T_SLOT = D + 2, T_HALVES = SHARE > 8 ? 2 : 1;
extern "C" __device__ int decode_tensor(int* status, u64 q_at, u64 k_at, u64 v_at, u64 part, int splits, int length, float scale_log2) {
    extern __shared__ __align__(1024) unsigned char shared[];
    const u32 base = shared_address(shared);
    const int tid = threadIdx.x, lane = tid & 31, warp = tid >> 5, row = lane >> 2, col = lane & 3;
    const int head = blockIdx.x / splits, split = blockIdx.x % splits, tiles = (length + T_ROWS - 1) / T_ROWS;
    const int first = (int)((long long)split * tiles / splits), last = (int)((long long)(split + 1) * tiles / splits);
    const u64 k = k_at + (u64)head * length * D * 2, v = v_at + (u64)head * length * D * 2;
    auto load = [&](int tile) {
        const u32 to = base + (tile - first) % STAGES * 2 * T_BYTES;
#pragma unroll
        for (int p = tid; p < T_ROWS * T_CHUNKS; p += T_THREADS) {
            const int r = p / T_CHUNKS, c = p % T_CHUNKS;
            const u64 from = ((u64)min(tile * T_ROWS + r, length - 1) * D + c * 8) * 2;
            const u32 at = to + r * (D * 2) + swizzle<T_CHUNKS>(r, c) * 16;
            copy_async(at, (const void*)(k + from));
            copy_async(at + T_BYTES, (const void*)(v + from));
        }
    };
    u32 aq[D / 16][4];
#pragma unroll
    for (int ks = 0; ks < D / 16; ++ks)
#pragma unroll
        for (int i = 0; i < 4; ++i) {
            const int query = row + (i & 1) * 8;
            aq[ks][i] = query < SHARE ? *(const u32*)(q_at + (((u64)head * SHARE + query) * D + ks * 16 + (i >> 1) * 8 + col * 2) * 2) : 0u;
        }
    float o[D / 8][4], m[2] = {-1e30f, -1e30f}, l[2] = {0.0f, 0.0f};
#pragma unroll
    for (int n = 0; n < D / 8; ++n)
#pragma unroll
        for (int i = 0; i < 4; ++i) o[n][i] = 0.0f;
#pragma unroll
    for (int s = 0; s < STAGES - 1; ++s) {
        if (first + s < last) load(first + s);
        copy_commit();
    }
    for (int tile = first; tile < last; ++tile) {
        copy_wait<STAGES - 2>();
        __syncthreads();  // this tile is there for all, and the one before is read
        if (tile + STAGES - 1 < last) load(tile + STAGES - 1);
        copy_commit();
        const u32 keys = base + (tile - first) % STAGES * 2 * T_BYTES, values = keys + T_BYTES;
        float s[2][4] = {};
#pragma unroll
        for (int ks = 0; ks < D / 16; ++ks) {
            const int r = warp * 16 + (lane >> 4) * 8 + (lane & 7), c = 2 * ks + ((lane >> 3) & 1);
            u32 b[4];
            load_matrix(b, keys + r * (D * 2) + swizzle<T_CHUNKS>(r, c) * 16);
            mma(s[0], aq[ks], b[0], b[1]);
            mma(s[1], aq[ks], b[2], b[3]);
        }
        const int left = length - tile * T_ROWS - warp * 16 - col * 2;  // keys from this thread's first to the end
        u32 p[4] = {0u, 0u, 0u, 0u};
#pragma unroll
        for (int h = 0; h < T_HALVES; ++h) {
            float x[4], top = m[h];
#pragma unroll
            for (int i = 0; i < 4; ++i) {
                x[i] = s[i >> 1][2 * h + (i & 1)] * scale_log2;
                if ((i >> 1) * 8 + (i & 1) < left) top = fmaxf(top, x[i]);
            }
            top = fmaxf(top, __shfl_xor_sync(0xffffffffu, top, 1));
            top = fmaxf(top, __shfl_xor_sync(0xffffffffu, top, 2));
            const float old = exp2_fast(m[h] - top);
            m[h] = top;
            l[h] *= old;
#pragma unroll
            for (int n = 0; n < D / 8; ++n) {
                o[n][2 * h] *= old;
                o[n][2 * h + 1] *= old;
            }
#pragma unroll
            for (int i = 0; i < 4; ++i) {
                x[i] = (i >> 1) * 8 + (i & 1) < left ? exp2_fast(x[i] - top) : 0.0f;
                l[h] += x[i];
            }
            p[h] = pack_half2(x[0], x[1]);
            p[2 + h] = pack_half2(x[2], x[3]);
        }
#pragma unroll
        for (int n = 0; n < D / 16; ++n) {
            const int r = warp * 16 + ((lane >> 3) & 1) * 8 + (lane & 7), c = 2 * n + (lane >> 4);
            u32 b[4];
            load_matrix_transposed(b, values + r * (D * 2) + swizzle<T_CHUNKS>(r, c) * 16);
            mma(o[2 * n], p, b[0], b[1]);
            mma(o[2 * n + 1], p, b[2], b[3]);
        }
    }
    copy_wait<0>();
    __syncthreads();
    float* merge = (float*)shared;  // [warp][SHARE] of m, l, o[D]
#pragma unroll
    for (int h = 0; h < T_HALVES; ++h) {
        l[h] += __shfl_xor_sync(0xffffffffu, l[h], 1);
        l[h] += __shfl_xor_sync(0xffffffffu, l[h], 2);
        const int query = row + 8 * h;
        if (query < SHARE) {
            float* mine = merge + (warp * SHARE + query) * T_SLOT;
            if (col == 0) {
                mine[0] = m[h];
                mine[1] = l[h];
            }
#pragma unroll
            for (int n = 0; n < D / 8; ++n) {
                mine[2 + n * 8 + col * 2] = o[n][2 * h];
                mine[3 + n * 8 + col * 2] = o[n][2 * h + 1];
            }
        }
    }
    __syncthreads();
    for (int i = tid; i < SHARE * D; i += T_THREADS) {
        const int query = i / D, x = i % D;
        float top = -1e30f, total = 0.0f, sum = 0.0f;
#pragma unroll
        for (int w = 0; w < 4; ++w) top = fmaxf(top, merge[(w * SHARE + query) * T_SLOT]);
#pragma unroll
        for (int w = 0; w < 4; ++w) {
            const float* theirs = merge + (w * SHARE + query) * T_SLOT;
            const float scale = exp2_fast(theirs[0] - top);
            total += theirs[1] * scale;
            sum += theirs[2 + x] * scale;
        }
        float* slot = (float*)part + (((u64)head * SHARE + query) * splits + split) * T_SLOT;
        slot[2 + x] = sum;
        if (x == 0) {
            slot[0] = top;
            slot[1] = total;
        }
    }
    return 0;
}
