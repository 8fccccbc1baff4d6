// Sums over rows, column by column: of an array, or of the products of two. Gradients of biases, positions and channel
// factors are such sums, and so is the mean over an image.

/// Σ a, or Σ a·b where `b` is not null, over one slice of rows of each group: `[groups, rows, c]` → `[groups, slices, c]`.
template <class T>
__device__ void column_sums(const T* a, const T* b, float* parts, int rows, int c, int rows_per_slice, int vector) {
    with_width<T>(vector, [&](auto width) {
        const int N = decltype(width)::N;
        Slice slice(N, rows, rows_per_slice);
        bool active = slice.column < c;
        size_t group = (size_t)blockIdx.z * rows * c;
        float sum[N] = {};
        if (active) {
#pragma unroll 4
            for (int row = slice.first; row < slice.end; row += blockDim.y) {
                size_t at = group + (size_t)row * c + slice.column;
                float left[N], right[N];
                read<N>(a + at, left);
                if (b) read<N>(b + at, right);
#pragma unroll
                for (int i = 0; i < N; i++) sum[i] += b ? left[i] * right[i] : left[i];
            }
        }
#pragma unroll
        for (int i = 0; i < N; i++) {
            float total = add_thread_rows(sum[i]);
            if (active && threadIdx.y == 0)
                parts[((size_t)blockIdx.z * gridDim.y + blockIdx.y) * c + slice.column + i] = total;
        }
    });
}
#define PARAMETERS(T) \
    (const T* __restrict__ a, const T* __restrict__ b, float* parts, int rows, int c, int rows_per_slice, int vector)
BOTH(column_sums, PARAMETERS, (a, b, parts, rows, c, rows_per_slice, vector))
#undef PARAMETERS

/// The slices' sums of each group, times `scale`.
template <class T>
__device__ void column_finish(const float* parts, int slices, int c, float scale, T* sums) {
    int column = blockIdx.x * 32 + threadIdx.x;
    double total = add_slices(parts + (size_t)blockIdx.z * slices * c, slices, c, column);
    if (column < c && threadIdx.y == 0) store(&sums[(size_t)blockIdx.z * c + column], (float)total * scale);
}
#define PARAMETERS(T) (const float* parts, int slices, int c, float scale, T* sums)
BOTH(column_finish, PARAMETERS, (parts, slices, c, scale, sums))
#undef PARAMETERS

/// The gradient of the mean over an image: `dy[image, ch] · scale` at each of its pixels. `n` values of the result.
template <class T>
__device__ void spread_pixels(const T* dy, T* dx, u32 n, u32 image, u32 c, float scale, int vector) {
    flat<T>(n, vector, [&](auto width, size_t at) {
        const int N = decltype(width)::N;
        float values[N];
        read<N>(dy + (size_t)((u32)at / image) * c + (u32)at % c, values);
#pragma unroll
        for (int i = 0; i < N; i++) values[i] *= scale;
        write<N>(dx + at, values);
    });
}
#define PARAMETERS(T) (const T* dy, T* dx, u32 n, u32 image, u32 c, float scale, int vector)
BOTH(spread_pixels, PARAMETERS, (dy, dx, n, image, c, scale, vector))
#undef PARAMETERS

/// `x [groups, rows, c]` times each group's factors `[groups, c]`: squeeze-excite's gates, LayerScale. `group` is
/// rows · c.
template <class T>
__device__ void scale_channels(const T* x, const T* factors, T* y, u32 n, u32 group, u32 c, int vector) {
    flat<T>(n, vector, [&](auto width, size_t at) {
        const int N = decltype(width)::N;
        float values[N], by[N];
        read<N>(x + at, values);
        read<N>(factors + (size_t)((u32)at / group) * c + (u32)at % c, by);
#pragma unroll
        for (int i = 0; i < N; i++) values[i] *= by[i];
        write<N>(y + at, values);
    });
}
#define PARAMETERS(T) (const T* x, const T* factors, T* y, u32 n, u32 group, u32 c, int vector)
BOTH(scale_channels, PARAMETERS, (x, factors, y, n, group, c, vector))
#undef PARAMETERS
