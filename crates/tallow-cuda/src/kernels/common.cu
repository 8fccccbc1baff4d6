// What every program begins with: storage types, 16-byte accesses, sums over warps and blocks. No header is included:
// NVRTC has none, and g++ gets the emulation before this file.
//
// Storage is f32 or bf16; arithmetic is f32, long sums are f64. No float atomics: the order of every sum follows from
// the launch's grid, and the grid from the shapes.

typedef unsigned char u8;
typedef unsigned short u16;
typedef unsigned int u32;
typedef unsigned long long u64;

#define ALL_LANES 0xffffffffu
#define INFINITY_F32 __uint_as_float(0x7f800000u)
#define NAN_F32 __uint_as_float(0x7fc00000u)

/// The upper half of an f32.
struct bf16 {
    u16 bits;
};

__device__ inline float to_f32(float value) { return value; }
__device__ inline float to_f32(bf16 value) { return __uint_as_float((u32)value.bits << 16); }

__device__ inline void store(float* to, float value) { *to = value; }

/// Rounds to the nearest, halves to even.
__device__ inline void store(bf16* to, float value) {
#ifdef __CUDA_ARCH__
    asm("cvt.rn.bf16.f32 %0, %1;" : "=h"(to->bits) : "f"(value));
#else
    u32 bits = __float_as_uint(value);
    to->bits = value != value ? 0x7fff : (u16)((bits + 0x7fff + (bits >> 16 & 1)) >> 16);
#endif
}

/// What a 16-byte access moves.
struct alignas(16) Sixteen {
    u32 words[4];
};

/// How many values of a type lie in 16 bytes.
template <class T>
struct Wide {
    static const int N = 16 / sizeof(T);
};

/// Reads `N` neighbouring values: one, or whole 16 bytes.
template <int N, class T>
__device__ inline void read(const T* from, float* values) {
    if constexpr (N == 1) {
        values[0] = to_f32(*from);
    } else {
        const int W = Wide<T>::N;
        union {
            Sixteen raw;
            T each[W];
        } both;
#pragma unroll
        for (int part = 0; part < N / W; part++) {
            both.raw = ((const Sixteen*)from)[part];
#pragma unroll
            for (int i = 0; i < W; i++) values[part * W + i] = to_f32(both.each[i]);
        }
    }
}

/// Writes `N` neighbouring values: one, or whole 16 bytes.
template <int N, class T>
__device__ inline void write(T* to, const float* values) {
    if constexpr (N == 1) {
        store(to, values[0]);
    } else {
        const int W = Wide<T>::N;
        union {
            Sixteen raw;
            T each[W];
        } both;
#pragma unroll
        for (int part = 0; part < N / W; part++) {
#pragma unroll
            for (int i = 0; i < W; i++) store(&both.each[i], values[part * W + i]);
            ((Sixteen*)to)[part] = both.raw;
        }
    }
}

/// A number of values as a type, for generic lambdas.
template <int V>
struct Width {
    static const int N = V;
};

/// Calls `body(width)` with 16 bytes of `T` if `vector`, one value otherwise.
template <class T, class F>
__device__ inline void with_width(int vector, F body) {
    if (vector)
        body(Width<Wide<T>::N>());
    else
        body(Width<1>());
}

/// This thread's number among all of a one-dimensional grid.
__device__ inline size_t global_thread() { return (size_t)blockIdx.x * blockDim.x + threadIdx.x; }

/// Elementwise work on `n` values: `body(width, at)` for each group of neighbours, 16 bytes of `T` if `vector`. The grid
/// has a thread for each group.
template <class T, class F>
__device__ inline void flat(u64 n, int vector, F body) {
    size_t at = global_thread();
    if (!vector) {
        if (at < n) body(Width<1>(), at);
        return;
    }
    at *= Wide<T>::N;
    if (at + Wide<T>::N <= n)
        body(Width<Wide<T>::N>(), at);
    else
        for (; at < n; at++) body(Width<1>(), at);
}

template <class T>
__device__ inline T warp_sum(T value) {
#pragma unroll
    for (int step = 16; step; step >>= 1) value += __shfl_xor_sync(ALL_LANES, value, step);
    return value;
}

__device__ inline float warp_max(float value) {
#pragma unroll
    for (int step = 16; step; step >>= 1) value = fmaxf(value, __shfl_xor_sync(ALL_LANES, value, step));
    return value;
}

/// The sum over a one-dimensional block of whole warps, known to every thread.
__device__ inline double block_sum(double value) {
    __shared__ double warps[32];
    value = warp_sum(value);
    __syncthreads();
    if (threadIdx.x % 32 == 0) warps[threadIdx.x / 32] = value;
    __syncthreads();
    double total = 0;
    for (int i = 0; i < (int)(blockDim.x / 32); i++) total += warps[i];
    return total;
}

/// Columns of a `[rows, c]` matrix that a block works on: `blockDim.x` lanes of `N` columns, `blockDim.y` rows at once,
/// the rows of slice `blockIdx.y`.
struct Slice {
    int column, first, end;

    __device__ Slice(int n, int rows, int rows_per_slice) {
        column = (blockIdx.x * blockDim.x + threadIdx.x) * n;
        first = blockIdx.y * rows_per_slice + threadIdx.y;
        end = min(rows, (int)(blockIdx.y + 1) * rows_per_slice);
    }
};

/// The sum over the rows of threads of a block, lane by lane, known to every thread.
template <class T>
__device__ inline T add_thread_rows(T value) {
    __shared__ T parts[256];
    __syncthreads();
    parts[threadIdx.y * blockDim.x + threadIdx.x] = value;
    __syncthreads();
    T total = 0;
    for (int row = 0; row < (int)blockDim.y; row++) total += parts[row * blockDim.x + threadIdx.x];
    return total;
}

/// The sum of column `column` over `slices` partial results, in f64; a block of 32 lanes by 8 rows.
__device__ inline double add_slices(const float* parts, int slices, int c, int column) {
    double total = 0;
    if (column < c)
        for (int i = threadIdx.y; i < slices; i += blockDim.y) total += parts[(size_t)i * c + column];
    return add_thread_rows(total);
}

/// A kernel of both storage types: `NAME_f32` and `NAME_bf16` call the template `NAME`.
#define BOTH(name, parameters_of, arguments)                                                              \
    extern "C" __global__ void __launch_bounds__(256) name##_f32 parameters_of(float) { name arguments; } \
    extern "C" __global__ void __launch_bounds__(256) name##_bf16 parameters_of(bf16) { name arguments; }
