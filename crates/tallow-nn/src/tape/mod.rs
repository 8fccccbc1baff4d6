//! The tape: reverse-mode differentiation over Candle tensors.
//!
//! Candle's own engine allocates zeros and adds for every edge of the graph, on one thread, and holds every activation
//! until the loss is dropped. Here each operation of [`op`](crate::op) that runs while a [`Tape`] records leaves a node
//! with its backward. [`Tape::backward`] walks the nodes in reverse, moves each gradient to where it belongs, and frees
//! what a node saved when the node is done.
//!
//! Candle's operations mix freely with these: Candle's engine differentiates a tensor that they computed, down to the
//! nearest output of a recorded operation, which Candle sees as a variable. So a layer or loss in plain Candle
//! operations trains without knowing about the tape.
//!
//! Without a tape nothing is recorded: inference keeps no activations.
//!
//! ```
//! use candle_core::{Device, Tensor, Var};
//! # fn main() -> tallow_nn::Result<()> {
//! let w = Var::new(&[3f32], &Device::Cpu)?;
//! let tape = tallow_nn::Tape::start();
//! let loss = w.as_tensor().sqr()?.sum_all()?;
//! let grads = tape.backward(&loss)?;
//! assert_eq!(grads.get(&w).unwrap().to_vec1::<f32>()?, [6.0]);
//! # Ok(()) }
//! ```

mod backward;

use std::cell::{Cell, RefCell};
use std::collections::{HashMap, HashSet};
use std::marker::PhantomData;
use std::rc::Rc;

use candle_core::{Device, Tensor, TensorId, Var};

pub use backward::Gradients;

use crate::error::{Error, Result};
use crate::packed_weights;
use crate::precision::{self, Precision};
use crate::suspended::Suspended;

/// The backward of one recorded operation. It owns what it saved from the forward pass.
pub trait Backward {
    /// Computes the gradient of each input from the gradient of the output, in the order in which the inputs were
    /// recorded; `None` is allowed where `needs` is false.
    ///
    /// # Errors
    /// Errors of its kernels.
    fn backward(&self, grad: &Tensor, needs: &[bool]) -> Result<Vec<Option<Tensor>>>;
}

/// The result of a kernel, before it becomes a tensor: values in the order of memory, and the permutation by which the
/// tensor shows them.
pub struct Output {
    data: Vec<f32>,
    memory_shape: Vec<usize>,
    channels_last: bool,
}

impl Output {
    /// A tensor of this shape, row-major.
    pub fn contiguous(data: Vec<f32>, shape: &[usize]) -> Self {
        Output { data, memory_shape: shape.to_vec(), channels_last: false }
    }

    /// An image batch: the values lie as `[n, h, w, c]`, the tensor's shape is `[n, c, h, w]`
    /// (PyTorch's `channels_last` memory format).
    pub fn channels_last(data: Vec<f32>, (n, h, w, c): (usize, usize, usize, usize)) -> Self {
        Output { data, memory_shape: vec![n, h, w, c], channels_last: true }
    }

    fn view(&self, memory: Tensor) -> Result<Tensor> {
        Ok(if self.channels_last { memory.permute((0, 3, 1, 2))? } else { memory })
    }

    /// Makes the tensor on `device`, not recorded.
    ///
    /// # Errors
    /// When the number of values does not fit the shape, or the tensor not the device.
    pub fn into_tensor(mut self, device: &Device) -> Result<Tensor> {
        let data = std::mem::take(&mut self.data);
        let memory = Tensor::from_vec(data, self.memory_shape.as_slice(), device)?;
        self.view(memory)
    }
}

enum Node {
    /// A recorded operation.
    Op { output: TensorId, inputs: Vec<Option<TensorId>>, op: Box<dyn Backward> },
    /// A part of the pass that kept only its input, and is computed again in the format that it was computed in.
    Replay { output: TensorId, input: Tensor, tracked: Option<TensorId>, part: Box<Part>, precision: Precision },
    /// A tensor that Candle's operations computed and a recorded operation consumed.
    Candle(Tensor),
}

/// A part of a forward pass, from its one input to its output.
pub type Part = dyn Fn(&Tensor) -> Result<Tensor>;

/// The operations that a tape has recorded.
#[derive(Default)]
pub(crate) struct Recording {
    /// The tape's number; 0 for the recording of a replayed part.
    tape: u64,
    nodes: Vec<Node>,
    /// Outputs and Candle tensors that have a node.
    known: HashSet<TensorId>,
    /// The variable under a channels-last output → that output.
    leaves: HashMap<TensorId, TensorId>,
    /// Frozen variables: they receive no gradient.
    frozen: Rc<HashSet<TensorId>>,
}

thread_local! {
    /// The recordings of this thread's tapes. The last tape is the one that records.
    static RECORDINGS: RefCell<Vec<Recording>> = const { RefCell::new(Vec::new()) };
    /// The number of the next tape.
    static NEXT: Cell<u64> = const { Cell::new(1) };
}

/// Records the operations that run on this thread, from [`Tape::start`] until [`Tape::backward`] or drop.
///
/// A tape that starts while another one records hides it until it ends: the outer tape then goes on.
pub struct Tape {
    number: u64,
    /// A tape belongs to the thread that started it.
    not_send: PhantomData<*const ()>,
}

impl Tape {
    /// Starts recording on this thread.
    pub fn start() -> Tape {
        Tape::start_without(&[])
    }

    /// Starts recording with some variables frozen: they receive no gradient, and what depends on no others is computed
    /// as in inference, without a backward. Where Candle's own operations use them, they may receive gradients all the
    /// same.
    pub fn start_without(frozen: &[Tensor]) -> Tape {
        packed_weights::forget();
        let frozen = Rc::new(frozen.iter().map(Tensor::id).collect());
        let number = NEXT.replace(NEXT.get() + 1);
        RECORDINGS.with_borrow_mut(|all| all.push(Recording { tape: number, frozen, ..Recording::default() }));
        Tape { number, not_send: PhantomData }
    }

    /// Ends recording and takes what was recorded.
    fn take(&self) -> Option<Recording> {
        RECORDINGS.with_borrow_mut(|all| {
            let at = all.iter().position(|recording| recording.tape == self.number)?;
            Some(all.remove(at))
        })
    }
}

impl Drop for Tape {
    fn drop(&mut self) {
        self.take();
    }
}

/// Hides this thread's tapes until the guard is dropped.
pub(crate) fn suspend() -> Suspended<RefCell<Vec<Recording>>> {
    Suspended::new(&RECORDINGS)
}

impl Recording {
    /// Makes a tensor the output of a node: a variable, so that Candle's operations on it are tracked down to it and no
    /// further. Its order in memory stays.
    fn leaf(&mut self, tensor: &Tensor) -> Result<Tensor> {
        let memory = if tensor.rank() == 4 { tensor.permute((0, 2, 3, 1))? } else { tensor.clone() };
        if tensor.rank() != 4 || !memory.is_contiguous() {
            let leaf = Var::from_tensor(&tensor.detach())?.into_inner();
            self.known.insert(leaf.id());
            return Ok(leaf);
        }
        let leaf = Var::from_tensor(&memory.detach())?.into_inner();
        let view = leaf.permute((0, 3, 1, 2))?;
        self.leaves.insert(leaf.id(), view.id());
        self.known.insert(view.id());
        Ok(view)
    }

    /// The id under which `tensor` gathers its gradient, if it depends on a variable.
    fn track(&mut self, tensor: &Tensor) -> Option<TensorId> {
        let id = tensor.id();
        if self.known.contains(&id) {
            return Some(id);
        }
        if !tensor.track_op() || self.frozen.contains(&id) {
            return None;
        }
        // A plain variable needs no node: its gradient is the result.
        if !tensor.is_variable() {
            self.known.insert(id);
            self.nodes.push(Node::Candle(tensor.clone()));
        }
        Some(id)
    }
}

/// Whether a tape is recording on this thread.
pub(crate) fn is_recording() -> bool {
    RECORDINGS.with_borrow(|all| !all.is_empty())
}

/// Whether an operation on these inputs would be recorded: whether it must save anything for its backward.
pub fn records(inputs: &[&Tensor]) -> bool {
    RECORDINGS.with_borrow(|all| {
        all.last().is_some_and(|rec| inputs.iter().any(|t| t.track_op() || rec.known.contains(&t.id())))
    })
}

/// Turns a kernel's output into a tensor on the device of its inputs, and records `op` as its backward if a tape is
/// recording and any input depends on a variable.
///
/// # Errors
/// When the number of values does not fit the shape, or the tensor not the device.
pub fn emit(mut output: Output, inputs: &[&Tensor], op: impl Backward + 'static) -> Result<Tensor> {
    let device = inputs.first().map_or(&Device::Cpu, |input| input.device());
    RECORDINGS.with_borrow_mut(|all| {
        let Some(recording) = all.last_mut() else {
            return output.into_tensor(device);
        };
        let inputs: Vec<_> = inputs.iter().map(|t| recording.track(t)).collect();
        if inputs.iter().all(Option::is_none) {
            return output.into_tensor(device);
        }
        let data = std::mem::take(&mut output.data);
        // A variable, so that Candle's operations on it are tracked down to it and no further.
        let leaf = Var::from_vec(data, output.memory_shape.as_slice(), device)?.into_inner();
        let tensor = output.view(leaf.clone())?;
        if output.channels_last {
            recording.leaves.insert(leaf.id(), tensor.id());
        }
        recording.known.insert(tensor.id());
        recording.nodes.push(Node::Op { output: tensor.id(), inputs, op: Box::new(op) });
        Ok(tensor)
    })
}

/// Records `op` as the backward of `view`, which Candle made of `input` without computing: another shape of the same
/// values. The gradient then takes one step; through Candle's engine it takes a product, a sum and a pass over the
/// graph.
pub fn emit_view(view: Tensor, input: &Tensor, op: impl Backward + 'static) -> Tensor {
    RECORDINGS.with_borrow_mut(|all| {
        if let Some(recording) = all.last_mut()
            && let Some(input) = recording.track(input)
        {
            recording.known.insert(view.id());
            recording.nodes.push(Node::Op { output: view.id(), inputs: vec![Some(input)], op: Box::new(op) });
        }
    });
    view
}

/// Runs `first(input)` and keeps only the input for the backward pass, which computes the part again by `again`.
/// Gradients have the same bits as without (up to rounding where Candle's operations cross from part to part: the
/// gradient then goes back through sums term by term). The memory is that of one part at a time, and the time that of
/// one more forward pass.
///
/// `again` must compute what `first` did; what else it reads (parameters) must not change in between. Use a
/// [replay](crate::Mode::replay) of the mode: [`checkpoint`](crate::layers::checkpoint) does.
///
/// # Errors
/// Errors of `first`.
///
/// # Source
/// Chen et al. 2016, "Training Deep Nets with Sublinear Memory Cost"; PyTorch's `torch.utils.checkpoint`.
pub fn replayed(input: &Tensor, first: impl FnOnce(&Tensor) -> Result<Tensor>, again: Box<Part>) -> Result<Tensor> {
    let Some(frozen) = RECORDINGS.with_borrow(|all| all.last().map(|recording| recording.frozen.clone())) else {
        return first(input);
    };
    // A recording of its own, dropped: it tells whether there is anything to differentiate, and the kernels compute as
    // they do the second time.
    let (output, differentiable) = recorded(Recording { frozen, ..Recording::default() }, || {
        let output = first(input)?;
        let tracked = RECORDINGS.with_borrow_mut(|all| all.last_mut().and_then(|recording| recording.track(&output)));
        Ok((output, tracked.is_some()))
    })?
    .0;
    if !differentiable {
        return Ok(output.detach());
    }
    RECORDINGS.with_borrow_mut(|all| {
        let recording = all.last_mut().ok_or(Error::NotRecorded)?;
        let tracked = recording.track(input);
        let output = recording.leaf(&output)?;
        let precision = precision::current();
        let node = Node::Replay { output: output.id(), input: input.detach(), tracked, part: again, precision };
        recording.nodes.push(node);
        Ok(output)
    })
}

/// Runs `f` with `recording` as the one that records, and gives it back.
fn recorded<T>(recording: Recording, f: impl FnOnce() -> Result<T>) -> Result<(T, Recording)> {
    /// Removes the recording even if `f` panics.
    struct Depth(usize);
    impl Depth {
        fn pop(&self) -> Option<Recording> {
            RECORDINGS.with_borrow_mut(|all| all.drain(self.0.min(all.len())..).next())
        }
    }
    impl Drop for Depth {
        fn drop(&mut self) {
            self.pop();
        }
    }
    let depth = Depth(RECORDINGS.with_borrow_mut(|all| {
        all.push(recording);
        all.len() - 1
    }));
    let result = f();
    let recording = depth.pop();
    Ok((result?, recording.ok_or(Error::NotRecorded)?))
}
