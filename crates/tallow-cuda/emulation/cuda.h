// The CUDA language on one CPU thread, for g++: enough of it to run this crate's kernels on a machine without a GPU.
//
// The threads of a block run in turn, each until it waits at a barrier or ends (they are fibers); blocks run one after
// the other. `emulation_reverse` turns both orders round: results that then differ betray a race. A barrier
// that some threads of a block (or lanes of a warp) do not reach is an error.
#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstring>
#include <ucontext.h>
#include <utility>
#include <vector>

using std::max;
using std::min;

#define __global__
#define __device__
#define __forceinline__ inline
#define __restrict__
#define __launch_bounds__(...)
#define __shared__ static thread_local

struct Index {
    unsigned x, y, z;
};
static thread_local Index threadIdx, blockIdx, blockDim, gridDim;

enum FiberState { READY, AT_BLOCK, AT_WARP, DONE };

struct Thread {
    FiberState state;
    Index index;
    /// The fiber that runs it.
    unsigned fiber;
};

static const size_t STACK = 96 * 1024;
static thread_local std::vector<Thread> threads;
static thread_local std::vector<ucontext_t> fibers;
static thread_local std::vector<char> stacks;
static thread_local ucontext_t scheduler;
static thread_local unsigned running, started, fiber_now;
static thread_local bool reversed;
static thread_local double exchanged[1024];
/// The kernel's call for a thread.
static thread_local void (*entry)(void*, void**);
static thread_local void* entry_function;
static thread_local void** entry_arguments;

static void pause_as(FiberState state) {
    threads[running].state = state;
    swapcontext(&fibers[threads[running].fiber], &scheduler);
}

/// A fiber starts thread after thread until one pauses; kernels without barriers need no second fiber.
static void fiber_main() {
    unsigned own = fiber_now;
    while (started < threads.size()) {
        running = reversed ? threads.size() - 1 - started : started;
        started++;
        threads[running].fiber = own;
        threadIdx = threads[running].index;
        entry(entry_function, entry_arguments);
        threads[running].state = DONE;
    }
}

/// Starts the threads that have not been, or goes on with those that a barrier released; false if there are none.
static bool run_in_turn() {
    size_t n = threads.size();
    bool ran = started < n;
    for (fiber_now = 0; started < n; fiber_now++) {
        ucontext_t& fiber = fibers[fiber_now];
        getcontext(&fiber);
        fiber.uc_stack.ss_sp = &stacks[fiber_now * STACK];
        fiber.uc_stack.ss_size = STACK;
        fiber.uc_link = &scheduler;
        makecontext(&fiber, fiber_main, 0);
        swapcontext(&scheduler, &fiber);
    }
    if (ran) return true;
    for (size_t at = 0; at < n; at++) {
        running = reversed ? n - 1 - at : at;
        if (threads[running].state != READY) continue;
        ran = true;
        threadIdx = threads[running].index;
        swapcontext(&scheduler, &fibers[threads[running].fiber]);
    }
    return ran;
}

static bool all_in(size_t first, size_t end, FiberState state) {
    for (size_t i = first; i < end; i++)
        if (threads[i].state != state) return false;
    return true;
}

static void release(size_t first, size_t end) {
    for (size_t i = first; i < end; i++) threads[i].state = READY;
}

/// Runs one block; false if threads wait at a barrier that others never reach.
static bool run_block() {
    size_t n = threads.size();
    for (size_t i = 0; i < n; i++)
        threads[i] = {READY,
                      {unsigned(i % blockDim.x), unsigned(i / blockDim.x % blockDim.y),
                       unsigned(i / (blockDim.x * blockDim.y))},
                      0};
    started = 0;
    while (run_in_turn()) {
        for (size_t warp = 0; warp < n; warp += 32)
            if (all_in(warp, min(warp + 32, n), AT_WARP)) release(warp, min(warp + 32, n));
        if (all_in(0, n, AT_BLOCK)) release(0, n);
    }
    return all_in(0, n, DONE);
}

template <class... A, size_t... I>
static void call(void (*function)(A...), void** arguments, std::index_sequence<I...>) {
    function(*(std::remove_const_t<A>*)arguments[I]...);
}

template <class... A>
static int launch(void (*function)(A...), const unsigned* grid, const unsigned* block, void** arguments,
                  const unsigned* sizes, unsigned count, int reverse) {
    const unsigned expected[] = {unsigned(sizeof(A))..., 0};
    if (count != sizeof...(A)) return 1;
    for (unsigned i = 0; i < count; i++)
        if (sizes[i] != expected[i]) return 2;
    gridDim = {grid[0], grid[1], grid[2]};
    blockDim = {block[0], block[1], block[2]};
    threads.resize(size_t(block[0]) * block[1] * block[2]);
    if (fibers.size() < threads.size()) fibers.resize(threads.size());
    if (stacks.size() < threads.size() * STACK) stacks.resize(threads.size() * STACK);
    reversed = reverse != 0;
    entry = [](void* function, void** arguments) {
        call((void (*)(A...))function, arguments, std::index_sequence_for<A...>{});
    };
    entry_function = (void*)function;
    entry_arguments = arguments;
    unsigned blocks = grid[0] * grid[1] * grid[2];
    for (unsigned i = 0; i < blocks; i++) {
        unsigned at = reverse ? blocks - 1 - i : i;
        blockIdx = {at % grid[0], at / grid[0] % grid[1], at / (grid[0] * grid[1])};
        if (!run_block()) return 3;
    }
    return 0;
}

/// `emulate_NAME`: 0, or 1 for another number of arguments, 2 for another size of one, 3 for a barrier that not all
/// threads reach.
#define EMULATE(name)                                                                                              \
    extern "C" int emulate_##name(const unsigned* grid, const unsigned* block, void** arguments,                   \
                                  const unsigned* sizes, unsigned count, int reverse) {                            \
        return launch(name, grid, block, arguments, sizes, count, reverse);                                        \
    }

inline void __syncthreads() { pause_as(AT_BLOCK); }

/// What lane `source` of the warp holds; a source outside the warp gives the lane's own value.
template <class T>
static T exchange(T value, unsigned source) {
    unsigned warp = running / 32 * 32;
    memcpy(&exchanged[running], &value, sizeof value);
    pause_as(AT_WARP);
    T result = value;
    if (source < 32 && warp + source < threads.size()) memcpy(&result, &exchanged[warp + source], sizeof result);
    pause_as(AT_WARP);
    return result;
}

template <class T>
T __shfl_xor_sync(unsigned, T value, int mask) {
    return exchange(value, running % 32 ^ mask);
}

template <class T>
T __shfl_sync(unsigned, T value, int lane) {
    return exchange(value, lane);
}

inline float __uint_as_float(unsigned bits) {
    float value;
    memcpy(&value, &bits, 4);
    return value;
}

inline unsigned __float_as_uint(float value) {
    unsigned bits;
    memcpy(&bits, &value, 4);
    return bits;
}

// Arithmetic that is never contracted to a fused multiply-add.
inline float __fmul_rn(float a, float b) { return a * b; }
inline float __fadd_rn(float a, float b) { return a + b; }
inline float __fsub_rn(float a, float b) { return a - b; }
inline float __fdiv_rn(float a, float b) { return a / b; }
