// Work on all of a model's tensors in one launch: a table of tensors in device memory, and a list of chunks of them,
// a block each.

/// A parameter, its gradient and its state. Rust writes the same layout (`op::tensors::Entry`).
struct Tensor {
    float* p;
    float* g;
    float* state[4];
    /// The bf16 copy of the parameter that the next forward pass reads; null if there is none.
    bf16* low;
    u64 len;
    /// The factor of the learning rate, the weight decay, and a factor that Muon gives to matrices.
    double lr_scale, decay, adjust;
    /// Where the tensor's chunks begin in the list, and their number; rows of a matrix.
    u32 first_chunk, chunks, rows, unused;
};

struct Chunk {
    u32 tensor, index;
};

#define CHUNK 16384

/// Calls `body(tensor, i)` for the values of the block's chunk, unless the tensor has no gradient.
template <class F>
__device__ inline void each_value(const Tensor* tensors, const Chunk* chunks, F body) {
    Chunk chunk = chunks[blockIdx.x];
    Tensor tensor = tensors[chunk.tensor];
    if (!tensor.g) return;
    u64 first = (u64)chunk.index * CHUNK, end = min(tensor.len, first + CHUNK);
    for (u64 i = first + threadIdx.x; i < end; i += blockDim.x) body(tensor, i);
}

/// Writes a parameter and its copy.
__device__ inline void set(const Tensor& t, u64 i, float value) {
    t.p[i] = value;
    if (t.low) store(&t.low[i], value);
}
