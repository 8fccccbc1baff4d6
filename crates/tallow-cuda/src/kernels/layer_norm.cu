// LayerNorm over the rows of a matrix, a row a warp; four warps a block.

/// Calls `body(width, at)` for this lane's groups of the `d` values of a row.
template <class T, class F>
__device__ inline void each_of_row(int d, int vector, F body) {
    with_width<T>(vector, [&](auto width) {
        const int N = decltype(width)::N;
        for (int at = threadIdx.x % 32 * N; at < d; at += 32 * N) body(width, at);
    });
}

/// The row of this warp.
__device__ inline size_t warp_row() { return global_thread() / 32; }

/// `(x − mean) / √(var + eps) · gamma + beta`, and each row's mean and 1/σ.
template <class T>
__device__ void layer_norm_forward(const T* x, const float* gamma, const float* beta, float eps, T* y, float* stats,
                                   int rows, int d, int vector) {
    size_t row = warp_row();
    if (row >= (size_t)rows) return;
    x += row * d;
    y += row * d;
    float sum = 0;
    each_of_row<T>(d, vector, [&](auto width, int at) {
        const int N = decltype(width)::N;
        float values[N];
        read<N>(x + at, values);
#pragma unroll
        for (int i = 0; i < N; i++) sum += values[i];
    });
    float mean = warp_sum(sum) / d;
    float squares = 0;
    each_of_row<T>(d, vector, [&](auto width, int at) {
        const int N = decltype(width)::N;
        float values[N];
        read<N>(x + at, values);
#pragma unroll
        for (int i = 0; i < N; i++) squares = fmaf(values[i] - mean, values[i] - mean, squares);
    });
    float rstd = 1.0f / sqrtf(warp_sum(squares) / d + eps);
    each_of_row<T>(d, vector, [&](auto width, int at) {
        const int N = decltype(width)::N;
        float values[N], g[N], b[N];
        read<N>(x + at, values);
        read<N>(gamma + at, g);
        read<N>(beta + at, b);
#pragma unroll
        for (int i = 0; i < N; i++) values[i] = (values[i] - mean) * rstd * g[i] + b[i];
        write<N>(y + at, values);
    });
    if (threadIdx.x % 32 == 0) {
        stats[2 * row] = mean;
        stats[2 * row + 1] = rstd;
    }
}
#define PARAMETERS(T) \
    (const T* x, const float* gamma, const float* beta, float eps, T* y, float* stats, int rows, int d, int vector)
BOTH(layer_norm_forward, PARAMETERS, (x, gamma, beta, eps, y, stats, rows, d, vector))
#undef PARAMETERS

/// The gradient of `x`.
template <class T>
__device__ void layer_norm_dx(const T* x, const T* dy, const float* gamma, const float* stats, T* dx, int rows, int d,
                              int vector) {
    size_t row = warp_row();
    if (row >= (size_t)rows) return;
    x += row * d;
    dy += row * d;
    dx += row * d;
    float mean = stats[2 * row], rstd = stats[2 * row + 1];
    float offset = 0, slope = 0;
    each_of_row<T>(d, vector, [&](auto width, int at) {
        const int N = decltype(width)::N;
        float values[N], grads[N], g[N];
        read<N>(x + at, values);
        read<N>(dy + at, grads);
        read<N>(gamma + at, g);
#pragma unroll
        for (int i = 0; i < N; i++) {
            offset += grads[i] * g[i];
            slope += grads[i] * g[i] * ((values[i] - mean) * rstd);
        }
    });
    offset = warp_sum(offset) / d;
    slope = warp_sum(slope) / d;
    each_of_row<T>(d, vector, [&](auto width, int at) {
        const int N = decltype(width)::N;
        float values[N], grads[N], g[N];
        read<N>(x + at, values);
        read<N>(dy + at, grads);
        read<N>(gamma + at, g);
#pragma unroll
        for (int i = 0; i < N; i++) {
            float normal = (values[i] - mean) * rstd;
            values[i] = rstd * (grads[i] * g[i] - offset - normal * slope);
        }
        write<N>(dx + at, values);
    });
}
#define PARAMETERS(T) \
    (const T* x, const T* dy, const float* gamma, const float* stats, T* dx, int rows, int d, int vector)
BOTH(layer_norm_dx, PARAMETERS, (x, dy, gamma, stats, dx, rows, d, vector))
#undef PARAMETERS

/// Σ dy·x̂ and Σ dy of each column over one slice of rows: what `layer_norm_sums_finish` makes the gradients of gamma and beta.
template <class T>
__device__ void layer_norm_sums(const T* x, const T* dy, const float* stats, float* scaled, float* plain, int rows,
                                int d, int rows_per_slice, int vector) {
    with_width<T>(vector, [&](auto width) {
        const int N = decltype(width)::N;
        Slice slice(N, rows, rows_per_slice);
        bool active = slice.column < d;
        float sum[N] = {}, product[N] = {};
        if (active) {
            for (int row = slice.first; row < slice.end; row += blockDim.y) {
                float values[N], grads[N];
                float mean = stats[2 * (size_t)row], rstd = stats[2 * (size_t)row + 1];
                read<N>(x + (size_t)row * d + slice.column, values);
                read<N>(dy + (size_t)row * d + slice.column, grads);
#pragma unroll
                for (int i = 0; i < N; i++) {
                    sum[i] += grads[i];
                    product[i] += grads[i] * ((values[i] - mean) * rstd);
                }
            }
        }
#pragma unroll
        for (int i = 0; i < N; i++) {
            float first = add_thread_rows(sum[i]), second = add_thread_rows(product[i]);
            if (active && threadIdx.y == 0) {
                plain[(size_t)blockIdx.y * d + slice.column + i] = first;
                scaled[(size_t)blockIdx.y * d + slice.column + i] = second;
            }
        }
    });
}
#define PARAMETERS(T)                                                                                             \
    (const T* __restrict__ x, const T* __restrict__ dy, const float* stats, float* scaled, float* plain, int rows, \
     int d, int rows_per_slice, int vector)
BOTH(layer_norm_sums, PARAMETERS, (x, dy, stats, scaled, plain, rows, d, rows_per_slice, vector))
#undef PARAMETERS

extern "C" __global__ void __launch_bounds__(256)
    layer_norm_sums_finish(const float* scaled, const float* plain, int slices, int d, float* dgamma, float* dbeta) {
    int column = blockIdx.x * 32 + threadIdx.x;
    double first = add_slices(scaled, slices, d, column), second = add_slices(plain, slices, d, column);
    if (column < d && threadIdx.y == 0) {
        dgamma[column] = (float)first;
        dbeta[column] = (float)second;
    }
}
