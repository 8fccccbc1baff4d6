// One step of an optimiser over all parameters. The numbers of a step lie in device memory (`step`), so that a recorded
// step reads them afresh: 0 the learning rate, 1 the factor of the weight decay, then those that each kernel names. They
// are f64 and rounded to f32 where the CPU rounds them.

/// A step's rates for one parameter.
struct Rates {
    double lr, decay;

    __device__ Rates(const Tensor& t, const double* step) : lr(step[0] * t.lr_scale), decay(t.decay * step[1]) {}
    /// What of the weight joins the gradient, and what the weight shrinks by.
    __device__ float l2(bool decoupled) const { return decoupled ? 0.0f : (float)decay; }
    __device__ float shrink(bool decoupled) const { return decoupled ? (float)(1.0 - lr * decay) : 1.0f; }
};

/// Calls `update(p, g, state…)` through `body(tensor, rates)`, which returns it.
template <class F>
__device__ inline void each_parameter(const Tensor* tensors, const Chunk* chunks, const double* step, F body) {
    Tensor t = tensors[chunks[blockIdx.x].tensor];
    auto update = body(t, Rates(t, step));
    each_value(tensors, chunks, [&](const Tensor&, u64 i) { set(t, i, update(t.p[i], t.g[i], i)); });
}

#define OPTIMIZER(name) \
    extern "C" __global__ void __launch_bounds__(256) name(const Tensor* tensors, const Chunk* chunks, const double* step)

/// 2 momentum, 3 Nesterov, 4 decoupled. State: the momentum, if there is one.
OPTIMIZER(sgd) {
    float momentum = (float)step[2];
    bool nesterov = step[3] != 0, decoupled = step[4] != 0;
    each_parameter(tensors, chunks, step, [&](const Tensor& t, Rates rates) {
        float lr = (float)rates.lr, l2 = rates.l2(decoupled), shrink = rates.shrink(decoupled);
        return [=](float p, float g, u64 i) {
            g = g + l2 * p;
            if (!t.state[0]) return p * shrink - lr * g;
            float buffer = momentum * t.state[0][i] + g;
            t.state[0][i] = buffer;
            return p * shrink - lr * (nesterov ? g + momentum * buffer : buffer);
        };
    });
}

/// The running moments of Adam and its relatives: 2 β₁, 3 β₂, 4 ε, 5 decoupled.
struct Moments {
    float keep2, take1, take2, eps;
    bool decoupled;

    __device__ Moments(const double* step)
        : keep2((float)step[3]),
          take1((float)(1.0 - step[2])),
          take2((float)(1.0 - step[3])),
          eps((float)step[4]),
          decoupled(step[5] != 0) {}
    __device__ void add(const Tensor& t, float g, u64 i, float* mean, float* square) const {
        *mean = t.state[0][i] + take1 * (g - t.state[0][i]);
        *square = keep2 * t.state[1][i] + take2 * g * g;
        t.state[0][i] = *mean;
        t.state[1][i] = *square;
    }
};

/// `p · shrink − change(g, mean, square)`.
template <class F>
__device__ inline void adam_like(const Tensor* tensors, const Chunk* chunks, const double* step, F change_at) {
    Moments moments(step);
    each_parameter(tensors, chunks, step, [&](const Tensor& t, Rates rates) {
        float l2 = rates.l2(moments.decoupled), shrink = rates.shrink(moments.decoupled);
        auto change = change_at(rates.lr);
        return [=](float p, float g, u64 i) {
            float mean, square;
            g = g + l2 * p;
            moments.add(t, g, i, &mean, &square);
            return p * shrink - change(g, mean, square);
        };
    });
}

/// Adam, AdamW. 6 1 − β₁ᵗ, 7 1 − β₂ᵗ.
OPTIMIZER(adam) {
    float eps = (float)step[4], root_correction = (float)sqrt(step[7]);
    adam_like(tensors, chunks, step, [&](double lr) {
        float step_size = (float)(lr / step[6]);
        return [=](float, float mean, float square) {
            return step_size * mean / (sqrtf(square) / root_correction + eps);
        };
    });
}

/// 6 μₜ, 7 μₜ₊₁, 8 the product of all μ so far, 9 1 − β₂ᵗ.
OPTIMIZER(nadam) {
    float eps = (float)step[4], correction = (float)step[9];
    adam_like(tensors, chunks, step, [&](double lr) {
        float by_grad = (float)(lr * (1.0 - step[6]) / (1.0 - step[8]));
        float by_mean = (float)(lr * step[7] / (1.0 - step[8] * step[7]));
        return [=](float g, float mean, float square) {
            return (by_grad * g + by_mean * mean) / (sqrtf(square / correction) + eps);
        };
    });
}

/// 6 1 − β₁ᵗ, 7 the rectification times √(1 − β₂ᵗ), or 0 while the variance is intractable.
OPTIMIZER(radam) {
    float eps = (float)step[4];
    bool adaptive = step[7] != 0;
    adam_like(tensors, chunks, step, [&](double lr) {
        float step_size = (float)(lr * (adaptive ? step[7] : 1.0) / step[6]);
        return [=](float, float mean, float square) {
            return step_size * mean / (adaptive ? sqrtf(square) + eps : 1.0f);
        };
    });
}

/// 2 α, 3 ε, 4 momentum. State: the square, the momentum and the mean, the last two if there are such.
OPTIMIZER(rmsprop) {
    float keep = (float)step[2], take = (float)(1.0 - step[2]), eps = (float)step[3], momentum = (float)step[4];
    each_parameter(tensors, chunks, step, [&](const Tensor& t, Rates rates) {
        float lr = (float)rates.lr, l2 = (float)rates.decay;
        return [=](float p, float g, u64 i) {
            g = g + l2 * p;
            float square = keep * t.state[0][i] + take * g * g, variance = square;
            t.state[0][i] = square;
            if (t.state[2]) {
                float mean = t.state[2][i] + take * (g - t.state[2][i]);
                t.state[2][i] = mean;
                variance -= mean * mean;
            }
            float scaled = g / (sqrtf(variance) + eps);
            if (t.state[1]) t.state[1][i] = scaled = momentum * t.state[1][i] + scaled;
            return p - lr * scaled;
        };
    });
}

/// 2 α, 3 ε, 4 momentum, 5 the learning rate in the momentum, 6 decoupled. State as in `rmsprop`; the square begins at 1.
OPTIMIZER(rmsprop_tf) {
    float take = (float)(1.0 - step[2]), eps = (float)step[3], momentum = (float)step[4];
    bool lr_in_momentum = step[5] != 0, decoupled = step[6] != 0;
    each_parameter(tensors, chunks, step, [&](const Tensor& t, Rates rates) {
        float l2 = rates.l2(decoupled), shrink = rates.shrink(decoupled);
        float inside = lr_in_momentum ? (float)rates.lr : 1.0f, outside = lr_in_momentum ? 1.0f : (float)rates.lr;
        return [=](float p, float g, u64 i) {
            g = g + l2 * p;
            float square = t.state[0][i] + take * (g * g - t.state[0][i]), variance = square;
            t.state[0][i] = square;
            if (t.state[2]) {
                float mean = t.state[2][i] + take * (g - t.state[2][i]);
                t.state[2][i] = mean;
                variance -= mean * mean;
            }
            float scaled = inside * (g / sqrtf(variance + eps));
            if (t.state[1]) t.state[1][i] = scaled = momentum * t.state[1][i] + scaled;
            return p * shrink - outside * scaled;
        };
    });
}

/// 2 ε, 3 1 + (t − 1) · lr_decay. State: the sum of squares.
OPTIMIZER(adagrad) {
    float eps = (float)step[2];
    each_parameter(tensors, chunks, step, [&](const Tensor& t, Rates rates) {
        float lr = (float)(rates.lr / step[3]), l2 = (float)rates.decay;
        return [=](float p, float g, u64 i) {
            g = g + l2 * p;
            float sum = t.state[0][i] + g * g;
            t.state[0][i] = sum;
            return p - lr * (g / (sqrtf(sum) + eps));
        };
    });
}

/// 2 β₁, 3 β₂. State: the momentum.
OPTIMIZER(lion) {
    float take1 = (float)(1.0 - step[2]), take2 = (float)(1.0 - step[3]);
    each_parameter(tensors, chunks, step, [&](const Tensor& t, Rates rates) {
        float lr = (float)rates.lr, shrink = rates.shrink(true);
        return [=](float p, float g, u64 i) {
            float mean = t.state[0][i];
            float direction = mean + take1 * (g - mean);
            float sign = direction > 0.0f ? 1.0f : direction < 0.0f ? -1.0f : direction;
            t.state[0][i] = mean + take2 * (g - mean);
            return p * shrink - lr * sign;
        };
    });
}

/// 2 β₁, 3 β₂, 4 β₃, 5 ε, 6–8 1 − βᵢᵗ, 9 no_prox, 10 the first step. State: mean, difference, square, −(the last gradient).
OPTIMIZER(adan) {
    float keep2 = (float)step[3], keep3 = (float)step[4], eps = (float)step[5];
    float take1 = (float)(1.0 - step[2]), take2 = (float)(1.0 - step[3]), take3 = (float)(1.0 - step[4]);
    float root_correction = (float)sqrt(step[8]);
    bool no_prox = step[9] != 0, first = step[10] != 0;
    each_parameter(tensors, chunks, step, [&](const Tensor& t, Rates rates) {
        float by_mean = (float)(rates.lr / step[6]), by_difference = (float)(rates.lr * step[3] / step[7]);
        float before = no_prox ? (float)(1.0 - rates.lr * rates.decay) : 1.0f;
        float after = no_prox ? 1.0f : (float)(1.0 + rates.lr * rates.decay);
        return [=](float p, float g, u64 i) {
            float change = first ? 0.0f : t.state[3][i] + g;
            float mean = t.state[0][i] + take1 * (g - t.state[0][i]);
            float difference = keep2 * t.state[1][i] + take2 * change;
            float ahead = keep2 * change + g;
            float square = keep3 * t.state[2][i] + take3 * ahead * ahead;
            t.state[0][i] = mean;
            t.state[1][i] = difference;
            t.state[2][i] = square;
            t.state[3][i] = -g;
            float root = sqrtf(square) / root_correction + eps;
            return (p * before - by_mean * mean / root - by_difference * difference / root) / after;
        };
    });
}

/// The norms that LARS and LAMB scale a parameter's step by.
struct Trust {
    double weight, other;

    __device__ Trust(const double* weights, const double* others, u32 tensor)
        : weight(sqrt(weights[tensor])), other(sqrt(others[tensor])) {}
    __device__ bool known() const { return weight > 0 && other > 0; }
};

/// 2 momentum, 3 Nesterov, 4 η, 5 ε, 6 trust_clip, 7 always_adapt. State: the momentum, if there is one. The squared norms
/// of weights and gradients are given.
extern "C" __global__ void __launch_bounds__(256) lars(const Tensor* tensors, const Chunk* chunks, const double* step,
                                                       const double* weights, const double* gradients) {
    float momentum = (float)step[2];
    bool nesterov = step[3] != 0;
    each_parameter(tensors, chunks, step, [&](const Tensor& t, Rates rates) {
        double ratio = 1;
        if (rates.decay != 0 || step[7] != 0) {
            Trust norms(weights, gradients, chunks[blockIdx.x].tensor);
            if (norms.known()) ratio = step[4] * norms.weight / (norms.other + norms.weight * rates.decay + step[5]);
            if (step[6] != 0) ratio = fmin(ratio / rates.lr, 1.0);
        }
        float lr = (float)rates.lr, l2 = (float)rates.decay, trust = (float)ratio;
        return [=](float p, float g, u64 i) {
            g = (g + l2 * p) * trust;
            if (!t.state[0]) return p - lr * g;
            float buffer = momentum * t.state[0][i] + g;
            t.state[0][i] = buffer;
            return p - lr * (nesterov ? g + momentum * buffer : buffer);
        };
    });
}

/// LAMB's direction, into state 2. 2 β₁, 3 β₂, 4 ε, 6 1 − β₁ᵗ, 7 1 − β₂ᵗ, 8 the limit of the norm of all gradients, or 0.
/// `norm` is that norm. State: mean and square.
extern "C" __global__ void __launch_bounds__(256)
    lamb_direction(const Tensor* tensors, const Chunk* chunks, const double* step, const double* norm) {
    Moments moments(step);
    float correction1 = (float)step[6], root_correction = (float)sqrt(step[7]);
    float clip = step[8] > 0 ? (float)fmax(*norm / step[8], 1.0) : 1.0f;
    each_value(tensors, chunks, [&](const Tensor& t, u64 i) {
        float mean, square;
        moments.add(t, t.g[i] / clip, i, &mean, &square);
        float decay = (float)Rates(t, step).decay;
        t.state[2][i] = (mean / correction1) / (sqrtf(square) / root_correction + moments.eps) + decay * t.p[i];
    });
}

/// LAMB's step. 9 trust_clip, 10 always_adapt; the squared norms of weights and directions are given.
extern "C" __global__ void __launch_bounds__(256) lamb(const Tensor* tensors, const Chunk* chunks, const double* step,
                                                       const double* weights, const double* directions) {
    each_parameter(tensors, chunks, step, [&](const Tensor& t, Rates rates) {
        double trust = 1;
        if (rates.decay != 0 || step[10] != 0) {
            Trust norms(weights, directions, chunks[blockIdx.x].tensor);
            if (norms.known()) trust = norms.weight / norms.other;
            if (step[9] != 0) trust = fmin(trust, 1.0);
        }
        float step_size = (float)(rates.lr * trust);
        return [=](float p, float, u64 i) { return p - step_size * t.state[2][i]; };
    });
}
