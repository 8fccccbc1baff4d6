// Norms of many tensors, in f64 and in a fixed order; clipping, averages and perturbations of all weights.

/// The sum of squares of a chunk: of the parameter (0), the gradient (1), their product (2) or a state (3 on).
extern "C" __global__ void __launch_bounds__(256)
    chunk_squares(const Tensor* tensors, const Chunk* chunks, int which, double* parts) {
    double sum = 0;
    each_value(tensors, chunks, [&](const Tensor& t, u64 i) {
        double value = which == 0 ? t.p[i] : which == 1 ? t.g[i] : which == 2 ? (double)t.g[i] * fabsf(t.p[i]) : t.state[which - 3][i];
        sum += value * value;
    });
    sum = block_sum(sum);
    if (threadIdx.x == 0) parts[blockIdx.x] = sum;
}

/// The sum of squares of each tensor; a warp each.
extern "C" __global__ void __launch_bounds__(256)
    tensor_squares(const Tensor* tensors, const double* parts, double* squares, int n) {
    int tensor = global_thread() / 32;
    if (tensor >= n) return;
    double sum = 0;
    for (u32 i = threadIdx.x % 32; i < tensors[tensor].chunks; i += 32) sum += parts[tensors[tensor].first_chunk + i];
    sum = warp_sum(sum);
    if (threadIdx.x % 32 == 0) squares[tensor] = sum;
}

/// The norm of all tensors together, and the factor that brings it down to `max_norm`, at most 1. One block.
extern "C" __global__ void __launch_bounds__(256)
    total_norm(const double* squares, int n, double max_norm, double* norm_and_factor) {
    double sum = 0;
    for (int i = threadIdx.x; i < n; i += blockDim.x) sum += squares[i];
    double norm = sqrt(block_sum(sum));
    if (threadIdx.x == 0) {
        norm_and_factor[0] = norm;
        norm_and_factor[1] = fmin(max_norm / (norm + 1e-6), 1.0);
    }
}

extern "C" __global__ void __launch_bounds__(256)
    scale_gradients(const Tensor* tensors, const Chunk* chunks, const double* norm_and_factor) {
    float factor = (float)norm_and_factor[1];
    // 1 where the norm is small, and where it is NaN: then nothing is scaled, as on the CPU.
    if (factor == 1.0f) return;
    each_value(tensors, chunks, [&](const Tensor& t, u64 i) { t.g[i] *= factor; });
}

extern "C" __global__ void __launch_bounds__(256)
    clamp_gradients(const Tensor* tensors, const Chunk* chunks, float limit) {
    each_value(tensors, chunks, [&](const Tensor& t, u64 i) {
        float g = t.g[i];
        t.g[i] = g < -limit ? -limit : g > limit ? limit : g;
    });
}

/// Adaptive clipping: the gradient of each output's weights, `rows` of them, is at most `factor` times their norm. Here a
/// chunk is a row.
extern "C" __global__ void __launch_bounds__(256)
    clip_adaptively(const Tensor* tensors, const Chunk* rows, double factor) {
    Tensor t = tensors[rows[blockIdx.x].tensor];
    if (!t.g) return;
    u64 width = t.len / t.rows, first = rows[blockIdx.x].index * width;
    double weight = 0, slope = 0;
    for (u64 i = first + threadIdx.x; i < first + width; i += blockDim.x) {
        weight += (double)t.p[i] * t.p[i];
        slope += (double)t.g[i] * t.g[i];
    }
    weight = sqrt(block_sum(weight));
    slope = sqrt(block_sum(slope));
    double limit = factor * fmax(weight, 1e-3);
    if (slope < limit) return;
    float scale = (float)(limit / fmax(slope, 1e-6));
    for (u64 i = first + threadIdx.x; i < first + width; i += blockDim.x) t.g[i] *= scale;
}

/// The moving average `p` of the weights `g`. Equal values stay: keep + take is not exactly 1.
extern "C" __global__ void __launch_bounds__(256)
    ema(const Tensor* tensors, const Chunk* chunks, const double* decay) {
    float keep = (float)*decay, take = (float)(1.0 - *decay);
    each_value(tensors, chunks, [&](const Tensor& t, u64 i) {
        if (t.p[i] != t.g[i]) t.p[i] = keep * t.p[i] + take * t.g[i];
    });
}

/// Lookahead: the slow weights (state 0) step towards the weights, which are then set to them.
extern "C" __global__ void __launch_bounds__(256)
    lookahead(const Tensor* tensors, const Chunk* chunks, float alpha) {
    each_value(tensors, chunks, [&](const Tensor& t, u64 i) {
        float slow = t.state[0][i];
        slow += alpha * (t.p[i] - slow);
        t.state[0][i] = slow;
        set(t, i, slow);
    });
}

/// SAM: saves the weights (state 0) and moves them by `rho` along the gradient, whose norm is given (that of `p·g` if
/// adaptive).
extern "C" __global__ void __launch_bounds__(256)
    sam_climb(const Tensor* tensors, const Chunk* chunks, const double* norm, double rho, int adaptive) {
    float scale = (float)(rho / (*norm + 1e-12));
    each_value(tensors, chunks, [&](const Tensor& t, u64 i) {
        float p = t.p[i], g = t.g[i];
        t.state[0][i] = p;
        set(t, i, p + (adaptive ? p * p * g * scale : g * scale));
    });
}

/// Sets the weights to state 0.
extern "C" __global__ void __launch_bounds__(256) restore(const Tensor* tensors, const Chunk* chunks) {
    each_value(tensors, chunks, [&](const Tensor& t, u64 i) { set(t, i, t.state[0][i]); });
}
