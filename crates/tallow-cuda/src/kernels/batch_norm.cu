// BatchNorm over the columns of a channels-last matrix `[rows, c]`, fused with the activation after it and with the
// residual that is added before the activation: partial moments, finish, apply; backward alike.
//
// The backward pass computes the activation's input again, by the same instruction as the forward pass.

/// The activation's input without the residual.
__device__ inline float normalised(float x, float mean, float scale, float beta) {
    return fmaf(x - mean, scale, beta);
}

/// The mean and the summed squared deviations of each column over one slice of rows, by sums around the slice's first
/// row: no cancellation where the mean is large beside the spread.
template <class T>
__device__ void batch_norm_moments(const T* x, float* means, float* squares, int rows, int c, int rows_per_slice,
                                   int vector) {
    with_width<T>(vector, [&](auto width) {
        const int N = decltype(width)::N;
        Slice slice(N, rows, rows_per_slice);
        bool active = slice.column < c;
        int start = blockIdx.y * rows_per_slice;
        float around[N] = {}, sum[N] = {}, square[N] = {};
        if (active) {
            read<N>(x + (size_t)start * c + slice.column, around);
#pragma unroll 2
            for (int row = slice.first; row < slice.end; row += blockDim.y) {
                float values[N];
                read<N>(x + (size_t)row * c + slice.column, values);
#pragma unroll
                for (int i = 0; i < N; i++) {
                    float offset = values[i] - around[i];
                    sum[i] += offset;
                    square[i] = fmaf(offset, offset, square[i]);
                }
            }
        }
        float share = 1.0f / (slice.end - start);
#pragma unroll
        for (int i = 0; i < N; i++) {
            float total = add_thread_rows(sum[i]), squared = add_thread_rows(square[i]);
            if (active && threadIdx.y == 0) {
                size_t at = (size_t)blockIdx.y * c + slice.column + i;
                means[at] = around[i] + total * share;
                squares[at] = squared - total * total * share;
            }
        }
    });
}
#define PARAMETERS(T) \
    (const T* __restrict__ x, float* means, float* squares, int rows, int c, int rows_per_slice, int vector)
BOTH(batch_norm_moments, PARAMETERS, (x, means, squares, rows, c, rows_per_slice, vector))
#undef PARAMETERS

/// 1/σ and γ/σ of a column.
__device__ inline void coefficients(float var, float gamma, float eps, float* rstd, float* scale) {
    *rstd = (float)(1.0 / sqrt((double)var + (double)eps));
    *scale = gamma * *rstd;
}

/// Joins the slices (Chan, Golub & LeVeque 1979), in f64; moves the running statistics if there are some.
extern "C" __global__ void __launch_bounds__(256)
    batch_norm_finish(const float* means, const float* squares, int slices, int rows, int c, int rows_per_slice,
                      const float* gamma, float eps, float momentum, float* mean, float* var, float* rstd,
                      float* scale, float* running_mean, float* running_var) {
    int column = blockIdx.x * 32 + threadIdx.x;
    double total = 0;
    if (column < c)
        for (int i = threadIdx.y; i < slices; i += blockDim.y)
            total += (double)min(rows_per_slice, rows - i * rows_per_slice) * means[(size_t)i * c + column];
    double centre = add_thread_rows(total) / rows;
    double spread = 0;
    if (column < c)
        for (int i = threadIdx.y; i < slices; i += blockDim.y) {
            double offset = means[(size_t)i * c + column] - centre;
            spread += squares[(size_t)i * c + column] +
                      (double)min(rows_per_slice, rows - i * rows_per_slice) * offset * offset;
        }
    spread = add_thread_rows(spread);
    if (column >= c || threadIdx.y != 0) return;
    mean[column] = (float)centre;
    var[column] = (float)(spread / rows);
    coefficients(var[column], gamma[column], eps, &rstd[column], &scale[column]);
    if (running_mean) {
        running_mean[column] = (1.0f - momentum) * running_mean[column] + momentum * mean[column];
        // The running variance is the unbiased one; one value has none.
        if (rows > 1) {
            float share = (float)((double)momentum * ((double)rows / (rows - 1)));
            running_var[column] = (1.0f - momentum) * running_var[column] + share * var[column];
        }
    }
}

/// 1/σ and γ/σ from given statistics: evaluation, and training around frozen ones.
extern "C" __global__ void __launch_bounds__(256)
    batch_norm_coefficients(const float* var, const float* gamma, float eps, int c, float* rstd, float* scale) {
    int column = global_thread();
    if (column < c) coefficients(var[column], gamma[column], eps, &rstd[column], &scale[column]);
}

/// `activation((x − mean) · scale + beta + residual)`; `residual` may be null.
template <class T>
__device__ void batch_norm_apply(const T* x, const float* mean, const float* scale, const float* beta,
                                 const T* residual, T* y, int rows, int c, int rows_per_slice, int vector,
                                 int curve) {
    with_curve_and_width<T>(curve, vector, [&](auto f, auto width) {
        const int N = decltype(width)::N;
        Slice slice(N, rows, rows_per_slice);
        if (slice.column >= c) return;
        float m[N], s[N], b[N];
        read<N>(mean + slice.column, m);
        read<N>(scale + slice.column, s);
        read<N>(beta + slice.column, b);
#pragma unroll 2
        for (int row = slice.first; row < slice.end; row += blockDim.y) {
            size_t at = (size_t)row * c + slice.column;
            float values[N], added[N] = {};
            read<N>(x + at, values);
            if (residual) read<N>(residual + at, added);
#pragma unroll
            for (int i = 0; i < N; i++)
                values[i] = f.value(normalised(values[i], m[i], s[i], b[i]) + added[i]);
            write<N>(y + at, values);
        }
    });
}
#define PARAMETERS(T)                                                                                            \
    (const T* __restrict__ x, const float* mean, const float* scale, const float* beta,                         \
     const T* __restrict__ residual, T* __restrict__ y, int rows, int c, int rows_per_slice, int vector, int curve)
BOTH(batch_norm_apply, PARAMETERS,
     (x, mean, scale, beta, residual, y, rows, c, rows_per_slice, vector, curve))
#undef PARAMETERS

/// Σ dz and Σ dz·x̂ of each column over one slice, dz the gradient before the activation.
template <class T>
__device__ void batch_norm_sums(const T* x, const T* dy, const T* residual, const float* mean, const float* rstd,
                                const float* scale, const float* beta, float* plain, float* scaled, int rows, int c,
                                int rows_per_slice, int vector, int curve) {
    with_curve_and_width<T>(curve, vector, [&](auto f, auto width) {
        const int N = decltype(width)::N;
        Slice slice(N, rows, rows_per_slice);
        bool active = slice.column < c;
        float sum[N] = {}, product[N] = {};
        if (active) {
            float m[N], r[N], s[N], b[N];
            read<N>(mean + slice.column, m);
            read<N>(rstd + slice.column, r);
            read<N>(scale + slice.column, s);
            read<N>(beta + slice.column, b);
#pragma unroll 2
            for (int row = slice.first; row < slice.end; row += blockDim.y) {
                size_t at = (size_t)row * c + slice.column;
                float values[N], grads[N], added[N] = {};
                read<N>(x + at, values);
                read<N>(dy + at, grads);
                if (residual) read<N>(residual + at, added);
#pragma unroll
                for (int i = 0; i < N; i++) {
                    float before = normalised(values[i], m[i], s[i], b[i]) + added[i];
                    float dz = f.gradient(before, grads[i]);
                    sum[i] += dz;
                    product[i] += dz * ((values[i] - m[i]) * r[i]);
                }
            }
        }
#pragma unroll
        for (int i = 0; i < N; i++) {
            float first = add_thread_rows(sum[i]), second = add_thread_rows(product[i]);
            if (active && threadIdx.y == 0) {
                plain[(size_t)blockIdx.y * c + slice.column + i] = first;
                scaled[(size_t)blockIdx.y * c + slice.column + i] = second;
            }
        }
    });
}
#define PARAMETERS(T)                                                                                             \
    (const T* __restrict__ x, const T* __restrict__ dy, const T* __restrict__ residual, const float* mean,       \
     const float* rstd, const float* scale, const float* beta, float* plain, float* scaled, int rows, int c,     \
     int rows_per_slice, int vector, int curve)
BOTH(batch_norm_sums, PARAMETERS,
     (x, dy, residual, mean, rstd, scale, beta, plain, scaled, rows, c, rows_per_slice, vector, curve))
#undef PARAMETERS

/// The gradients of beta and gamma from the slices' sums.
extern "C" __global__ void __launch_bounds__(256)
    batch_norm_sums_finish(const float* plain, const float* scaled, int slices, int c, float* dbeta, float* dgamma) {
    int column = blockIdx.x * 32 + threadIdx.x;
    double first = add_slices(plain, slices, c, column), second = add_slices(scaled, slices, c, column);
    if (column < c && threadIdx.y == 0) {
        dbeta[column] = (float)first;
        dgamma[column] = (float)second;
    }
}

/// The gradient of `x`, and of the residual if there is one. `factor` is 1/rows for statistics of the batch, which
/// remove the gradient's mean and its component along x̂, and 0 for given ones.
template <class T>
__device__ void batch_norm_dx(const T* x, const T* dy, const T* residual, const float* mean, const float* rstd,
                              const float* scale, const float* beta, const float* dbeta, const float* dgamma,
                              float factor, T* dx, T* dresidual, int rows, int c, int rows_per_slice, int vector,
                              int curve) {
    with_curve_and_width<T>(curve, vector, [&](auto f, auto width) {
        const int N = decltype(width)::N;
        Slice slice(N, rows, rows_per_slice);
        if (slice.column >= c) return;
        float m[N], r[N], s[N], b[N], offset[N], slope[N];
        read<N>(mean + slice.column, m);
        read<N>(rstd + slice.column, r);
        read<N>(scale + slice.column, s);
        read<N>(beta + slice.column, b);
        read<N>(dbeta + slice.column, offset);
        read<N>(dgamma + slice.column, slope);
#pragma unroll
        for (int i = 0; i < N; i++) {
            offset[i] *= factor;
            slope[i] *= factor;
        }
#pragma unroll 2
        for (int row = slice.first; row < slice.end; row += blockDim.y) {
            size_t at = (size_t)row * c + slice.column;
            float values[N], grads[N], added[N] = {};
            read<N>(x + at, values);
            read<N>(dy + at, grads);
            if (residual) read<N>(residual + at, added);
#pragma unroll
            for (int i = 0; i < N; i++) {
                float before = normalised(values[i], m[i], s[i], b[i]) + added[i];
                grads[i] = f.gradient(before, grads[i]);
                values[i] = s[i] * (grads[i] - offset[i] - (values[i] - m[i]) * r[i] * slope[i]);
            }
            if (dx) write<N>(dx + at, values);
            if (dresidual) write<N>(dresidual + at, grads);
        }
    });
}
#define PARAMETERS(T)                                                                                             \
    (const T* __restrict__ x, const T* __restrict__ dy, const T* __restrict__ residual, const float* mean,       \
     const float* rstd, const float* scale, const float* beta, const float* dbeta, const float* dgamma,          \
     float factor, T* __restrict__ dx, T* __restrict__ dresidual, int rows, int c, int rows_per_slice, int vector, \
     int curve)
BOTH(batch_norm_dx, PARAMETERS,
     (x, dy, residual, mean, rstd, scale, beta, dbeta, dgamma, factor, dx, dresidual, rows, c, rows_per_slice,
      vector, curve))
#undef PARAMETERS
