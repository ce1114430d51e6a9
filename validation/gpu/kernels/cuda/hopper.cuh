// Inline PTX of sm_90a: barriers in shared memory, copies of tensor tiles by TMA, and warp-group matrix products (PTX ISA 9.7.9, 9.7.13, 9.7.16).
__device__ __forceinline__ void barrier_init(u32 at, int arrivals) { asm volatile("mbarrier.init.shared::cta.b64 [%0], %1;\n" ::"r"(at), "r"(arrivals) : "memory"); }
__device__ __forceinline__ void barrier_expect(u32 at, u32 bytes) {
    asm volatile("mbarrier.arrive.expect_tx.shared::cta.b64 _, [%0], %1;\n" ::"r"(at), "r"(bytes) : "memory");
}
__device__ __forceinline__ void barrier_arrive(u32 at) { asm volatile("mbarrier.arrive.shared::cta.b64 _, [%0];\n" ::"r"(at) : "memory"); }
__device__ __forceinline__ void barrier_wait(u32 at, u32 parity) {
    asm volatile(
        "{ .reg .pred done;\n"
        "waiting: mbarrier.try_wait.parity.shared::cta.b64 done, [%0], %1;\n"
        "@done bra over;\n"
        "bra waiting;\n"
        "over: }\n" ::"r"(at), "r"(parity) : "memory");
}
__device__ __forceinline__ void barriers_made() { asm volatile("fence.mbarrier_init.release.cluster;\n" ::: "memory"); }
// A tensor map that the host wrote to global memory, made visible to the copies of this thread
__device__ __forceinline__ void map_acquire(u64 map) {
    asm volatile("fence.proxy.tensormap::generic.acquire.sys [%0], 128;\n" ::"l"(map) : "memory");
}
__device__ __forceinline__ void copy_tile(u32 to, u64 map, int x, int y, u32 barrier) {
    asm volatile("cp.async.bulk.tensor.2d.shared::cluster.global.tile.mbarrier::complete_tx::bytes [%0], [%1, {%2, %3}], [%4];\n" ::"r"(to), "l"(map),
                 "r"(x), "r"(y), "r"(barrier)
                 : "memory");
}
__device__ __forceinline__ void copy_tile(u32 to, u64 map, int x, int y, int z, u32 barrier) {
    asm volatile("cp.async.bulk.tensor.3d.shared::cluster.global.tile.mbarrier::complete_tx::bytes [%0], [%1, {%2, %3, %4}], [%5];\n" ::"r"(to), "l"(map),
                 "r"(x), "r"(y), "r"(z), "r"(barrier)
                 : "memory");
}
__device__ __forceinline__ void copy_bytes(u32 to, const void* from, int bytes, u32 barrier) {
    asm volatile("cp.async.bulk.shared::cluster.global.mbarrier::complete_tx::bytes [%0], [%1], %2, [%3];\n" ::"r"(to), "l"(from), "r"(bytes), "r"(barrier)
                 : "memory");
}
__device__ __forceinline__ void group_sync(int name, int threads) { asm volatile("bar.sync %0, %1;\n" ::"r"(name), "r"(threads) : "memory"); }
__device__ __forceinline__ void group_arrive(int name, int threads) { asm volatile("bar.arrive %0, %1;\n" ::"r"(name), "r"(threads) : "memory"); }
__device__ __forceinline__ void wgmma_fence() { asm volatile("wgmma.fence.sync.aligned;\n" ::: "memory"); }
__device__ __forceinline__ void wgmma_commit() { asm volatile("wgmma.commit_group.sync.aligned;\n" ::: "memory"); }
template <int LEFT> __device__ __forceinline__ void wgmma_wait() { asm volatile("wgmma.wait_group.sync.aligned %0;\n" ::"n"(LEFT) : "memory"); }
template <int COUNT> __device__ __forceinline__ void registers_less() { asm volatile("setmaxnreg.dec.sync.aligned.u32 %0;\n" ::"n"(COUNT)); }
template <int COUNT> __device__ __forceinline__ void registers_more() { asm volatile("setmaxnreg.inc.sync.aligned.u32 %0;\n" ::"n"(COUNT)); }
template <int N> __device__ __forceinline__ void held(float (&d)[N]) {  // the compiler moves nothing of d across this
#pragma unroll
    for (int i = 0; i < N; ++i) asm volatile("" : "+f"(d[i])::"memory");
}
// Descriptor of an operand whose rows have 128 bytes, swizzled by TMA's 128-byte pattern: `next` bytes to the next 64 columns of an n-major
// operand (nothing otherwise), 1024 to the next eight rows. A tile begins at a multiple of 1024.
__device__ __forceinline__ u64 operand(u32 at, u32 next = 16) {
    return (u64)((at & 0x3FFFF) >> 4) | (u64)(next >> 4) << 16 | (u64)(1024 >> 4) << 32 | 1ull << 62;
}
// The same with rows of 64 bytes
__device__ __forceinline__ u64 operand64(u32 at) { return (u64)((at & 0x3FFFF) >> 4) | 1ull << 16 | (u64)(512 >> 4) << 32 | 2ull << 62; }
__device__ __forceinline__ void store_matrix(u32 at, u32 a, u32 b, u32 c, u32 d) {
    asm volatile("stmatrix.sync.aligned.m8n8.x4.shared.b16 [%0], {%1,%2,%3,%4};\n" ::"r"(at), "r"(a), "r"(b), "r"(c), "r"(d) : "memory");
}
#define D4(i) "+f"(d[i]), "+f"(d[i + 1]), "+f"(d[i + 2]), "+f"(d[i + 3])
// d += A B^T (add 0: d = ), A [64][16] and B [n][16] in shared memory, both k-major; n is twice d's length
__device__ __forceinline__ void wgmma(float (&d)[32], u64 a, u64 b, int add) {
    asm volatile(
        "{ .reg .pred p; setp.ne.b32 p, %34, 0;\n"
        "wgmma.mma_async.sync.aligned.m64n64k16.f32.f16.f16 "
        "{%0,%1,%2,%3,%4,%5,%6,%7,%8,%9,%10,%11,%12,%13,%14,%15,"
        "%16,%17,%18,%19,%20,%21,%22,%23,%24,%25,%26,%27,%28,%29,%30,%31}, "
        "%32, %33, p, 1, 1, 0, 0; }\n"
        : D4(0), D4(4), D4(8), D4(12), D4(16), D4(20), D4(24), D4(28)
        : "l"(a), "l"(b), "r"(add));
}
__device__ __forceinline__ void wgmma(float (&d)[64], u64 a, u64 b, int add) {
    asm volatile(
        "{ .reg .pred p; setp.ne.b32 p, %66, 0;\n"
        "wgmma.mma_async.sync.aligned.m64n128k16.f32.f16.f16 "
        "{%0,%1,%2,%3,%4,%5,%6,%7,%8,%9,%10,%11,%12,%13,%14,%15,"
        "%16,%17,%18,%19,%20,%21,%22,%23,%24,%25,%26,%27,%28,%29,%30,%31,"
        "%32,%33,%34,%35,%36,%37,%38,%39,%40,%41,%42,%43,%44,%45,%46,%47,"
        "%48,%49,%50,%51,%52,%53,%54,%55,%56,%57,%58,%59,%60,%61,%62,%63}, "
        "%64, %65, p, 1, 1, 0, 0; }\n"
        : D4(0), D4(4), D4(8), D4(12), D4(16), D4(20), D4(24), D4(28),
          D4(32), D4(36), D4(40), D4(44), D4(48), D4(52), D4(56), D4(60)
        : "l"(a), "l"(b), "r"(add));
}
__device__ __forceinline__ void wgmma(float (&d)[96], u64 a, u64 b, int add) {
    asm volatile(
        "{ .reg .pred p; setp.ne.b32 p, %98, 0;\n"
        "wgmma.mma_async.sync.aligned.m64n192k16.f32.f16.f16 "
        "{%0,%1,%2,%3,%4,%5,%6,%7,%8,%9,%10,%11,%12,%13,%14,%15,"
        "%16,%17,%18,%19,%20,%21,%22,%23,%24,%25,%26,%27,%28,%29,%30,%31,"
        "%32,%33,%34,%35,%36,%37,%38,%39,%40,%41,%42,%43,%44,%45,%46,%47,"
        "%48,%49,%50,%51,%52,%53,%54,%55,%56,%57,%58,%59,%60,%61,%62,%63,"
        "%64,%65,%66,%67,%68,%69,%70,%71,%72,%73,%74,%75,%76,%77,%78,%79,"
        "%80,%81,%82,%83,%84,%85,%86,%87,%88,%89,%90,%91,%92,%93,%94,%95}, "
        "%96, %97, p, 1, 1, 0, 0; }\n"
        : D4(0), D4(4), D4(8), D4(12), D4(16), D4(20), D4(24), D4(28),
          D4(32), D4(36), D4(40), D4(44), D4(48), D4(52), D4(56), D4(60),
          D4(64), D4(68), D4(72), D4(76), D4(80), D4(84), D4(88), D4(92)
        : "l"(a), "l"(b), "r"(add));
}
__device__ __forceinline__ void wgmma(float (&d)[128], u64 a, u64 b, int add) {
    asm volatile(
        "{ .reg .pred p; setp.ne.b32 p, %130, 0;\n"
        "wgmma.mma_async.sync.aligned.m64n256k16.f32.f16.f16 "
        "{%0,%1,%2,%3,%4,%5,%6,%7,%8,%9,%10,%11,%12,%13,%14,%15,"
        "%16,%17,%18,%19,%20,%21,%22,%23,%24,%25,%26,%27,%28,%29,%30,%31,"
        "%32,%33,%34,%35,%36,%37,%38,%39,%40,%41,%42,%43,%44,%45,%46,%47,"
        "%48,%49,%50,%51,%52,%53,%54,%55,%56,%57,%58,%59,%60,%61,%62,%63,"
        "%64,%65,%66,%67,%68,%69,%70,%71,%72,%73,%74,%75,%76,%77,%78,%79,"
        "%80,%81,%82,%83,%84,%85,%86,%87,%88,%89,%90,%91,%92,%93,%94,%95,"
        "%96,%97,%98,%99,%100,%101,%102,%103,%104,%105,%106,%107,%108,%109,%110,%111,"
        "%112,%113,%114,%115,%116,%117,%118,%119,%120,%121,%122,%123,%124,%125,%126,%127}, "
        "%128, %129, p, 1, 1, 0, 0; }\n"
        : D4(0), D4(4), D4(8), D4(12), D4(16), D4(20), D4(24), D4(28),
          D4(32), D4(36), D4(40), D4(44), D4(48), D4(52), D4(56), D4(60),
          D4(64), D4(68), D4(72), D4(76), D4(80), D4(84), D4(88), D4(92),
          D4(96), D4(100), D4(104), D4(108), D4(112), D4(116), D4(120), D4(124)
        : "l"(a), "l"(b), "r"(add));
}
// d += A B, A [64][16] in registers as mma.sync's, B [16][n] in shared memory, n-major
__device__ __forceinline__ void wgmma_values(float (&d)[32], const u32 (&a)[4], u64 b, int add) {
    asm volatile(
        "{ .reg .pred p; setp.ne.b32 p, %37, 0;\n"
        "wgmma.mma_async.sync.aligned.m64n64k16.f32.f16.f16 "
        "{%0,%1,%2,%3,%4,%5,%6,%7,%8,%9,%10,%11,%12,%13,%14,%15,"
        "%16,%17,%18,%19,%20,%21,%22,%23,%24,%25,%26,%27,%28,%29,%30,%31}, "
        "{%32,%33,%34,%35}, %36, p, 1, 1, 1; }\n"
        : D4(0), D4(4), D4(8), D4(12), D4(16), D4(20), D4(24), D4(28)
        : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "l"(b), "r"(add));
}
__device__ __forceinline__ void wgmma_values(float (&d)[64], const u32 (&a)[4], u64 b, int add) {
    asm volatile(
        "{ .reg .pred p; setp.ne.b32 p, %69, 0;\n"
        "wgmma.mma_async.sync.aligned.m64n128k16.f32.f16.f16 "
        "{%0,%1,%2,%3,%4,%5,%6,%7,%8,%9,%10,%11,%12,%13,%14,%15,"
        "%16,%17,%18,%19,%20,%21,%22,%23,%24,%25,%26,%27,%28,%29,%30,%31,"
        "%32,%33,%34,%35,%36,%37,%38,%39,%40,%41,%42,%43,%44,%45,%46,%47,"
        "%48,%49,%50,%51,%52,%53,%54,%55,%56,%57,%58,%59,%60,%61,%62,%63}, "
        "{%64,%65,%66,%67}, %68, p, 1, 1, 1; }\n"
        : D4(0), D4(4), D4(8), D4(12), D4(16), D4(20), D4(24), D4(28),
          D4(32), D4(36), D4(40), D4(44), D4(48), D4(52), D4(56), D4(60)
        : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "l"(b), "r"(add));
}
// d += A B^T, A [64][32] 2:4 with its [64][16] kept values in shared memory; SELECT as for mma_sparse
template <int SELECT> __device__ __forceinline__ void wgmma_sparse(float (&d)[64], u64 a, u64 b, u32 meta, int add) {
    asm volatile(
        "{ .reg .pred p; setp.ne.b32 p, %67, 0;\n"
        "wgmma.mma_async.sp.sync.aligned.m64n128k32.f32.f16.f16 "
        "{%0,%1,%2,%3,%4,%5,%6,%7,%8,%9,%10,%11,%12,%13,%14,%15,"
        "%16,%17,%18,%19,%20,%21,%22,%23,%24,%25,%26,%27,%28,%29,%30,%31,"
        "%32,%33,%34,%35,%36,%37,%38,%39,%40,%41,%42,%43,%44,%45,%46,%47,"
        "%48,%49,%50,%51,%52,%53,%54,%55,%56,%57,%58,%59,%60,%61,%62,%63}, "
        "%64, %65, %66, %68, p, 1, 1, 0, 0; }\n"
        : D4(0), D4(4), D4(8), D4(12), D4(16), D4(20), D4(24), D4(28),
          D4(32), D4(36), D4(40), D4(44), D4(48), D4(52), D4(56), D4(60)
        : "l"(a), "l"(b), "r"(meta), "r"(add), "n"(SELECT));
}
template <int SELECT> __device__ __forceinline__ void wgmma_sparse(float (&d)[128], u64 a, u64 b, u32 meta, int add) {
    asm volatile(
        "{ .reg .pred p; setp.ne.b32 p, %131, 0;\n"
        "wgmma.mma_async.sp.sync.aligned.m64n256k32.f32.f16.f16 "
        "{%0,%1,%2,%3,%4,%5,%6,%7,%8,%9,%10,%11,%12,%13,%14,%15,"
        "%16,%17,%18,%19,%20,%21,%22,%23,%24,%25,%26,%27,%28,%29,%30,%31,"
        "%32,%33,%34,%35,%36,%37,%38,%39,%40,%41,%42,%43,%44,%45,%46,%47,"
        "%48,%49,%50,%51,%52,%53,%54,%55,%56,%57,%58,%59,%60,%61,%62,%63,"
        "%64,%65,%66,%67,%68,%69,%70,%71,%72,%73,%74,%75,%76,%77,%78,%79,"
        "%80,%81,%82,%83,%84,%85,%86,%87,%88,%89,%90,%91,%92,%93,%94,%95,"
        "%96,%97,%98,%99,%100,%101,%102,%103,%104,%105,%106,%107,%108,%109,%110,%111,"
        "%112,%113,%114,%115,%116,%117,%118,%119,%120,%121,%122,%123,%124,%125,%126,%127}, "
        "%128, %129, %130, %132, p, 1, 1, 0, 0; }\n"
        : D4(0), D4(4), D4(8), D4(12), D4(16), D4(20), D4(24), D4(28),
          D4(32), D4(36), D4(40), D4(44), D4(48), D4(52), D4(56), D4(60),
          D4(64), D4(68), D4(72), D4(76), D4(80), D4(84), D4(88), D4(92),
          D4(96), D4(100), D4(104), D4(108), D4(112), D4(116), D4(120), D4(124)
        : "l"(a), "l"(b), "r"(meta), "r"(add), "n"(SELECT));
}
#undef D4
// A warp's 16 rows of 64 results (32 floats a lane, as wgmma leaves them) to FP16 in shared memory: rows of 128 bytes, swizzled
__device__ __forceinline__ void stage_rows(u32 to, const float* d, float scale) {
    const int lane = threadIdx.x & 31, row = lane & 15;
#pragma unroll
    for (int j = 0; j < 4; ++j)
        store_matrix(to + row * 128 + ((j * 2 + (lane >> 4)) ^ (row & 7)) * 16, pack_half2(d[8 * j] * scale, d[8 * j + 1] * scale),
                     pack_half2(d[8 * j + 2] * scale, d[8 * j + 3] * scale), pack_half2(d[8 * j + 4] * scale, d[8 * j + 5] * scale),
                     pack_half2(d[8 * j + 6] * scale, d[8 * j + 7] * scale));
}
// The first `count` of eight FP16 values, where rows begin at no multiple of 16 bytes
__device__ __forceinline__ void store_few(u64 to, uint4 v, int count) {
    const u32 words[4] = {v.x, v.y, v.z, v.w};
#pragma unroll
    for (int i = 0; i < 8; ++i)
        if (i < count) ((unsigned short*)to)[i] = (unsigned short)(words[i / 2] >> (i % 2 * 16));
}
