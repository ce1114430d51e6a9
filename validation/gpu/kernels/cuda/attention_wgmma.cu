// Fused one-pass attention by warp-group products: O = softmax(scale * Q K^T) V, [head][row][D] in FP16; a key head serves `share` query heads.
// One warp group loads tiles by TMA; each of GROUPS others owns 64 query rows: while P V of one tile of keys runs, it takes the exponentials
// of the next one's scores. Macros: NAME, D (64|128), BN (keys a step), STAGES, GROUPS, CAUSAL, TURNS (1: groups issue products in turn),
// SPARE, OWN (registers a thread of the loading group, of the others). Threads: 128 * (GROUPS + 1). Any number of rows and of keys.
extern "C" __device__ int NAME(int* status, u64 q_map, u64 k_map, u64 v_map, u64 o_at, int heads, int share, int rows, int keys, float scale_log2) {
    constexpr int BM = 64 * GROUPS, HALVES = D / 64, Q_BYTES = BM * D * 2, TILE = BN * D * 2, NT = BN / 2;
    constexpr float HEADROOM = 8.0f;
    extern __shared__ __align__(1024) unsigned char shared[];
    const u32 q_base = (shared_address(shared) + 1023) & ~1023u, k_base = q_base + Q_BYTES, v_base = k_base + STAGES * TILE;
    const u32 q_full = v_base + STAGES * TILE, k_full = q_full + 8, v_full = k_full + 8 * STAGES, k_free = v_full + 8 * STAGES, v_free = k_free + 8 * STAGES;
    const int lane = threadIdx.x & 31, warp = threadIdx.x >> 5, blocks = (rows + BM - 1) / BM;
    int head, block;
    if (CAUSAL) {  // longest blocks first, heads side by side
        head = blockIdx.x % heads;
        block = blocks - 1 - blockIdx.x / heads;
    } else {
        head = blockIdx.x / blocks;
        block = blockIdx.x % blocks;
    }
    const int q0 = block * BM, seen = CAUSAL ? min(keys, q0 + BM) : keys, tiles = (seen + BN - 1) / BN;
    if (threadIdx.x == 0) {
        barrier_init(q_full, 1);
        for (int s = 0; s < STAGES; ++s) {
            barrier_init(k_full + 8 * s, 1);
            barrier_init(v_full + 8 * s, 1);
            barrier_init(k_free + 8 * s, 4 * GROUPS);
            barrier_init(v_free + 8 * s, 4 * GROUPS);
        }
        barriers_made();
    }
    __syncthreads();
    if (warp >= 4 * GROUPS) {
        registers_less<SPARE>();
        if (threadIdx.x == 128 * GROUPS) {
            map_acquire(q_map);
            map_acquire(k_map);
            map_acquire(v_map);
            barrier_expect(q_full, Q_BYTES);
#pragma unroll
            for (int h = 0; h < HALVES; ++h) copy_tile(q_base + h * BM * 128, q_map, h * 64, q0, head, q_full);
            int stage = 0;
            u32 phase = 1;
            for (int tile = 0; tile < tiles; ++tile) {
                barrier_wait(k_free + 8 * stage, phase);
                barrier_expect(k_full + 8 * stage, TILE);
#pragma unroll
                for (int h = 0; h < HALVES; ++h) copy_tile(k_base + stage * TILE + h * BN * 128, k_map, h * 64, tile * BN, head / share, k_full + 8 * stage);
                barrier_wait(v_free + 8 * stage, phase);
                barrier_expect(v_full + 8 * stage, TILE);
#pragma unroll
                for (int h = 0; h < HALVES; ++h) copy_tile(v_base + stage * TILE + h * BN * 128, v_map, h * 64, tile * BN, head / share, v_full + 8 * stage);
                if (++stage == STAGES) stage = 0, phase ^= 1;
            }
        }
    } else {
        registers_more<OWN>();
        const int group = warp >> 2, first_row = q0 + warp * 16 + (lane >> 2);
        float out[D / 2], s[NT], top[2] = {-1e30f, -1e30f}, shift[2] = {0.0f, 0.0f}, sum[2] = {0.0f, 0.0f};
        u32 p[NT / 2];
#pragma unroll
        for (int i = 0; i < D / 2; ++i) out[i] = 0.0f;
#pragma unroll
        for (int i = 0; i < NT; ++i) s[i] = 0.0f;
        auto scores = [&](int at) {
            held(s);
            wgmma_fence();
#pragma unroll
            for (int ks = 0; ks < D / 16; ++ks)
                wgmma(s, operand(q_base + (ks / 4) * BM * 128 + group * 8192 + (ks % 4) * 32), operand(k_base + at * TILE + (ks / 4) * BN * 128 + (ks % 4) * 32), ks);
            wgmma_commit();
            held(s);
        };
        auto values = [&](int at) {
            held(out);
            wgmma_fence();
#pragma unroll
            for (int ks = 0; ks < BN / 16; ++ks) {
                const u32 a[4] = {p[4 * ks], p[4 * ks + 1], p[4 * ks + 2], p[4 * ks + 3]};
                wgmma_values(out, a, operand(v_base + at * TILE + ks * 2048, BN * 128), 1);
            }
            wgmma_commit();
            held(out);
        };
        auto mask = [&](int tile) {  // keys that a row doesn't see, or that are beyond the last
            if (tile * BN + BN > keys || (CAUSAL && tile * BN + BN - 1 > q0 + group * 64)) {
                const int column = tile * BN + (lane & 3) * 2;
#pragma unroll
                for (int i = 0; i < NT; ++i) {
                    const int n = column + (i / 4) * 8 + (i & 1), last = CAUSAL ? min(keys - 1, first_row + (i >> 1 & 1) * 8) : keys - 1;
                    if (n > last) s[i] = -1e30f;
                }
            }
        };
        // Exponents are taken against `top`, a maximum seen earlier. It is raised, and what was summed under it rescaled, only when some score
        // of the warp passes it by 2^HEADROOM: the weights stay far below FP16's 65504, and the quotient is the same.
        auto raise = [&](float (&scale)[2]) {
            float high[2] = {-1e30f, -1e30f};
#pragma unroll
            for (int i = 0; i < NT; ++i) high[i >> 1 & 1] = fmaxf(high[i >> 1 & 1], s[i]);
            scale[0] = scale[1] = 1.0f;
            const bool passed = (high[0] - top[0]) * scale_log2 > HEADROOM || (high[1] - top[1]) * scale_log2 > HEADROOM;
            if (!__any_sync(0xffffffffu, passed)) return false;
#pragma unroll
            for (int h = 0; h < 2; ++h) {
                float m = fmaxf(high[h], __shfl_xor_sync(0xffffffffu, high[h], 1));
                m = fmaxf(top[h], fmaxf(m, __shfl_xor_sync(0xffffffffu, m, 2)));
                scale[h] = exp2_fast((top[h] - m) * scale_log2);
                top[h] = m;
                shift[h] = -m * scale_log2;
                sum[h] *= scale[h];
            }
            return true;
        };
        auto weigh = [&]() {
#pragma unroll
            for (int i = 0; i < NT; ++i) {
                s[i] = exp2_fast(fmaf(s[i], scale_log2, shift[i >> 1 & 1]));
                sum[i >> 1 & 1] += s[i];
            }
        };
        auto pack = [&]() {
#pragma unroll
            for (int i = 0; i < NT / 2; ++i) p[i] = pack_half2(s[2 * i], s[2 * i + 1]);
        };
        float scale[2];
        int stage = 0;
        u32 phase = 0;
        if (TURNS && group == 1) group_arrive(1, 256);
        barrier_wait(q_full, 0);
        barrier_wait(k_full, 0);
        if (TURNS) group_sync(1 + group, 256);
        scores(0);
        if (TURNS) group_arrive(2 - group, 256);
        wgmma_wait<0>();
        held(s);
        if (lane == 0) barrier_arrive(k_free);
        mask(0);
        raise(scale);
        weigh();
        pack();
        for (int tile = 1; tile < tiles; ++tile) {
            const int before = stage;
            const u32 before_phase = phase;
            if (++stage == STAGES) stage = 0, phase ^= 1;
            barrier_wait(k_full + 8 * stage, phase);
            if (TURNS) group_sync(1 + group, 256);
            scores(stage);
            barrier_wait(v_full + 8 * before, before_phase);
            values(before);
            if (TURNS) group_arrive(2 - group, 256);
            wgmma_wait<1>();
            held(s);
            if (lane == 0) barrier_arrive(k_free + 8 * stage);
            mask(tile);
            const bool raised = raise(scale);
            weigh();
            wgmma_wait<0>();
            held(out);
            if (lane == 0) barrier_arrive(v_free + 8 * before);
            if (raised)
#pragma unroll
                for (int i = 0; i < D / 2; ++i) out[i] *= scale[i >> 1 & 1];
            pack();
        }
        barrier_wait(v_full + 8 * stage, phase);
        values(stage);
        if (TURNS && group == 0) group_sync(1, 256);
        wgmma_wait<0>();
        held(out);
#pragma unroll
        for (int h = 0; h < 2; ++h) {
            sum[h] += __shfl_xor_sync(0xffffffffu, sum[h], 1);
            sum[h] += __shfl_xor_sync(0xffffffffu, sum[h], 2);
            sum[h] = 1.0f / sum[h];
        }
#pragma unroll
        for (int i = 0; i < D / 2; ++i) out[i] *= sum[i >> 1 & 1];
        group_sync(3 + group, 128);  // the whole group has read its rows of Q, whose place the results take
#pragma unroll
        for (int h = 0; h < HALVES; ++h) {
            const u32 to = q_base + h * BM * 128 + warp * 2048;
            stage_rows(to, &out[h * 32], 1.0f);
            __syncwarp();
#pragma unroll
            for (int i = lane; i < 128; i += 32) {
                const int r = i >> 3, c = i & 7, row = q0 + warp * 16 + r;
                if (row < rows) store_global((void*)(o_at + (((u64)head * rows + row) * D + h * 64 + c * 8) * 2), load_shared(to + r * 128 + (c ^ (r & 7)) * 16));
            }
        }
    }
    return 0;
}
