// Muon for matrices: momentum, Newton-Schulz iterations by products of f32, and the step.

/// The momentum (state 0) and the direction (state 1). 2 momentum, 3 Nesterov.
extern "C" __global__ void __launch_bounds__(256)
    muon_momentum(const Tensor* tensors, const Chunk* chunks, const double* step) {
    float take = (float)(1.0 - step[2]), keep = (float)step[2];
    bool nesterov = step[3] != 0;
    each_value(tensors, chunks, [&](const Tensor& t, u64 i) {
        float g = t.g[i], buffer = t.state[0][i] + take * (g - t.state[0][i]);
        t.state[0][i] = buffer;
        t.state[1][i] = nesterov ? g + keep * (buffer - g) : buffer;
    });
}

/// The direction `[rows, columns]` over its norm, transposed if that makes it wide.
extern "C" __global__ void __launch_bounds__(256)
    muon_normalise(const float* direction, const double* squares, float* x, int rows, int columns) {
    size_t at = global_thread();
    if (at >= (size_t)rows * columns) return;
    float norm = (float)fmax(sqrt(*squares), 1e-7);
    size_t to = rows > columns ? at % columns * rows + at / columns : at;
    x[to] = __fdiv_rn(direction[at], norm);
}

/// `p · shrink − lr · adjust · x`, `x` (state 2) being transposed if the matrix is tall.
extern "C" __global__ void __launch_bounds__(256)
    muon_step(const Tensor* tensors, const Chunk* chunks, const double* step) {
    each_value(tensors, chunks, [&](const Tensor& t, u64 i) {
        double lr = step[0] * t.lr_scale, decay = t.decay * step[1];
        float step_size = (float)(lr * t.adjust), shrink = (float)(1.0 - lr * decay);
        u64 columns = t.len / t.rows;
        u64 from = t.rows > columns ? i % columns * t.rows + i / columns : i;
        set(t, i, t.p[i] * shrink - step_size * t.state[2][from]);
    });
}

/// `alpha · a·b + beta · d` for `a [m, k]` and `b [k, n]`, or `b [n, k]` if `transposed`; `d [m, n]` may be null. Tiles of
/// 16×16.
extern "C" __global__ void __launch_bounds__(256)
    product(const float* a, const float* b, const float* d, float* y, int m, int n, int k, int transposed, float alpha,
            float beta) {
    __shared__ float left[16][17], right[16][17];
    int row = blockIdx.y * 16 + threadIdx.y, column = blockIdx.x * 16 + threadIdx.x;
    float sum = 0;
    for (int first = 0; first < k; first += 16) {
        int at = first + threadIdx.x;
        left[threadIdx.y][threadIdx.x] = row < m && at < k ? a[(size_t)row * k + at] : 0.0f;
        if (transposed) {
            int other = blockIdx.x * 16 + threadIdx.y;
            right[threadIdx.x][threadIdx.y] = other < n && at < k ? b[(size_t)other * k + at] : 0.0f;
        } else {
            int down = first + threadIdx.y;
            right[threadIdx.y][threadIdx.x] = down < k && column < n ? b[(size_t)down * n + column] : 0.0f;
        }
        __syncthreads();
#pragma unroll
        for (int i = 0; i < 16; i++) sum = fmaf(left[threadIdx.y][i], right[i][threadIdx.x], sum);
        __syncthreads();
    }
    if (row < m && column < n) {
        size_t at = (size_t)row * n + column;
        y[at] = alpha * sum + (d ? beta * d[at] : 0.0f);
    }
}
