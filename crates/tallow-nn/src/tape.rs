//! The tape: reverse-mode differentiation over Candle tensors.
//!
//! Candle's own engine allocates zeros and adds for every edge of the graph, on one thread, and
//! holds every activation until the loss is dropped. Here an op of ours, run while a [`Tape`] is
//! recording, leaves a node with its backward; [`Tape::backward`] walks the nodes in reverse, moves
//! each gradient where it belongs, and frees what a node held as soon as it is done with.
//!
//! Candle's ops mix freely with ours: a tensor computed by them is differentiated by Candle's engine,
//! down to the nearest output of a recorded op (which Candle sees as a variable). So a user's layer
//! or loss in plain Candle ops trains without knowing about the tape.
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

use std::cell::RefCell;
use std::collections::{HashMap, HashSet};
use std::marker::PhantomData;
use std::rc::Rc;

use candle_core::{Device, Tensor, TensorId, Var};

use crate::error::{Error, Result};
use crate::kernels::{conv2d, elementwise};

/// The backward of one recorded op. It owns what it saved from the forward pass.
pub trait Backward {
    /// Given the gradient of the output, the gradient of each input, in the order in which the
    /// inputs were recorded; `None` where `needs` is false.
    ///
    /// # Errors
    /// Whatever its kernels fail with.
    fn backward(&self, grad: &Tensor, needs: &[bool]) -> Result<Vec<Option<Tensor>>>;
}

/// The result of a kernel, about to become a tensor: values in the order they lie in memory, and
/// the permutation by which the tensor shows them.
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

    /// The tensor, not recorded.
    ///
    /// # Errors
    /// When the number of values does not fit the shape.
    pub fn into_tensor(mut self) -> Result<Tensor> {
        let data = std::mem::take(&mut self.data);
        let memory = Tensor::from_vec(data, self.memory_shape.as_slice(), &Device::Cpu)?;
        self.view(memory)
    }
}

enum Node {
    /// An op of ours.
    Op { output: TensorId, inputs: Vec<Option<TensorId>>, op: Box<dyn Backward> },
    /// A part of the pass that kept nothing but its input, and is computed again.
    Replay { output: TensorId, input: Tensor, tracked: Option<TensorId>, part: Box<Part> },
    /// A tensor that Candle's ops computed and an op of ours consumed.
    Candle(Tensor),
}

/// A part of a forward pass, from its one input to its output.
pub type Part = dyn Fn(&Tensor) -> Result<Tensor>;

#[derive(Default)]
struct Recording {
    nodes: Vec<Node>,
    /// Outputs and Candle tensors that have a node.
    known: HashSet<TensorId>,
    /// The variable under a channels-last output → that output.
    leaves: HashMap<TensorId, TensorId>,
    /// Variables that are taken for constants.
    frozen: Rc<HashSet<TensorId>>,
}

thread_local! {
    static RECORDING: RefCell<Option<Recording>> = const { RefCell::new(None) };
}

/// Records the ops that run on this thread, from [`Tape::start`] until [`Tape::backward`] or drop.
pub struct Tape {
    /// A tape belongs to the thread that started it.
    not_send: PhantomData<*const ()>,
}

impl Tape {
    /// Starts recording on this thread. A tape that is already recording is replaced.
    pub fn start() -> Tape {
        Tape::start_without(&[])
    }

    /// Starts recording with some variables taken for constants: what depends on no others is computed as in
    /// inference, without a backward. Where Candle's own ops use them, they may receive gradients all the same.
    pub fn start_without(frozen: &[Tensor]) -> Tape {
        conv2d::forget();
        let frozen = Rc::new(frozen.iter().map(Tensor::id).collect());
        RECORDING.with(|r| *r.borrow_mut() = Some(Recording { frozen, ..Recording::default() }));
        Tape { not_send: PhantomData }
    }

    /// The gradients of the scalar `loss` with respect to every variable it depends on.
    ///
    /// # Errors
    /// [`Error::NotRecorded`] if it depends on none; whatever a backward fails with.
    pub fn backward(self, loss: &Tensor) -> Result<Gradients> {
        let recording = RECORDING.with(|r| r.borrow_mut().take());
        drop(self);
        let mut recording = recording.ok_or(Error::NotRecorded)?;
        if recording.track(loss).is_none() {
            return Err(Error::NotRecorded);
        }
        let mut grads = HashMap::from([(loss.id(), loss.ones_like()?)]);
        recording.walk(&mut grads, Some(loss.id()))?;
        Ok(Gradients(grads))
    }
}

impl Drop for Tape {
    fn drop(&mut self) {
        RECORDING.with(|r| *r.borrow_mut() = None);
    }
}

impl Recording {
    /// Goes through the nodes in reverse, from gradients of the last outputs to those of what they were made of. The
    /// gradient of `loss` is 1.
    fn walk(&mut self, grads: &mut HashMap<TensorId, Tensor>, loss: Option<TensorId>) -> Result<()> {
        while let Some(node) = self.nodes.pop() {
            match node {
                Node::Op { output, inputs, op } => {
                    let Some(grad) = grads.remove(&output) else {
                        continue;
                    };
                    let needs: Vec<bool> = inputs.iter().map(Option::is_some).collect();
                    for (id, grad) in inputs.iter().zip(op.backward(&grad, &needs)?) {
                        if let (Some(id), Some(grad)) = (id, grad) {
                            accumulate(grads, *id, grad)?;
                        }
                    }
                }
                Node::Replay { output, input, tracked, part } => {
                    let Some(grad) = grads.remove(&output) else {
                        continue;
                    };
                    let mut again = Recording { frozen: self.frozen.clone(), ..Recording::default() };
                    let input = if tracked.is_some() { again.leaf(&input)? } else { input };
                    let (result, mut again) = recorded(again, || part(&input))?;
                    if again.track(&result).is_some() {
                        grads.insert(result.id(), grad);
                        again.walk(grads, None)?;
                    }
                    if let (Some(id), Some(grad)) = (tracked, grads.remove(&input.id())) {
                        accumulate(grads, id, grad)?;
                    }
                }
                Node::Candle(tensor) => {
                    let Some(grad) = grads.remove(&tensor.id()) else {
                        continue;
                    };
                    // d/dt Σ t·g = g: Candle's engine has no other way in for a given gradient.
                    let seeded =
                        if Some(tensor.id()) == loss { tensor.clone() } else { (&tensor * &grad)?.sum_all()? };
                    let store = seeded.backward()?;
                    for id in store.get_ids() {
                        let Some(grad) = store.get_id(*id) else {
                            continue;
                        };
                        match self.leaves.get(id) {
                            Some(view) => accumulate(grads, *view, grad.permute((0, 3, 1, 2))?)?,
                            None => accumulate(grads, *id, grad.clone())?,
                        }
                    }
                }
            }
        }
        Ok(())
    }

    /// Makes a tensor the output of a node: a variable, so that Candle's ops on it are tracked down to it and no
    /// further. It lies in memory as before.
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
    RECORDING.with_borrow(Option::is_some)
}

/// Whether an op on these inputs would be recorded: whether it must save anything for its backward.
pub fn records(inputs: &[&Tensor]) -> bool {
    RECORDING.with(|r| {
        r.borrow().as_ref().is_some_and(|rec| inputs.iter().any(|t| t.track_op() || rec.known.contains(&t.id())))
    })
}

/// Turns a kernel's output into a tensor, and records `op` as its backward if a tape is recording
/// and any input depends on a variable.
///
/// # Errors
/// When the number of values does not fit the shape.
pub fn emit(mut output: Output, inputs: &[&Tensor], op: impl Backward + 'static) -> Result<Tensor> {
    RECORDING.with(|r| {
        let mut recording = r.borrow_mut();
        let Some(recording) = recording.as_mut() else {
            return output.into_tensor();
        };
        let inputs: Vec<_> = inputs.iter().map(|t| recording.track(t)).collect();
        if inputs.iter().all(Option::is_none) {
            return output.into_tensor();
        }
        let data = std::mem::take(&mut output.data);
        // A variable, so that Candle's ops on it are tracked down to it and no further.
        let leaf = Var::from_vec(data, output.memory_shape.as_slice(), &Device::Cpu)?.into_inner();
        let tensor = output.view(leaf.clone())?;
        if output.channels_last {
            recording.leaves.insert(leaf.id(), tensor.id());
        }
        recording.known.insert(tensor.id());
        recording.nodes.push(Node::Op { output: tensor.id(), inputs, op: Box::new(op) });
        Ok(tensor)
    })
}

/// Records `op` as the backward of `view`, which Candle made of `input` without computing: another shape of the same values. The
/// gradient then takes one step; through Candle's engine it takes a product, a sum and a pass over the graph.
pub fn emit_view(view: Tensor, input: &Tensor, op: impl Backward + 'static) -> Tensor {
    RECORDING.with(|r| {
        if let Some(recording) = r.borrow_mut().as_mut()
            && let Some(input) = recording.track(input)
        {
            recording.known.insert(view.id());
            recording.nodes.push(Node::Op { output: view.id(), inputs: vec![Some(input)], op: Box::new(op) });
        }
    });
    view
}

/// `part(input)`, of which nothing but the input is kept for the backward: it is computed a second time then. Gradients are
/// the same as without, to the bit (where Candle's ops cross from part to part, up to rounding: it then goes back through
/// sums term by term); memory is that of one part at a time, for a forward pass more.
///
/// `part` must compute the same each time; what else it reads (parameters) must not change in between. Use a
/// [replay](crate::Mode::replay) of the mode the second time: [`checkpoint`](crate::layers::checkpoint) does.
///
/// # Errors
/// Whatever `part` fails with.
///
/// # Source
/// Chen et al. 2016, "Training Deep Nets with Sublinear Memory Cost"; PyTorch's `torch.utils.checkpoint`.
pub fn replayed(input: &Tensor, first: impl FnOnce(&Tensor) -> Result<Tensor>, again: Box<Part>) -> Result<Tensor> {
    let Some(frozen) = RECORDING.with(|r| r.borrow().as_ref().map(|recording| recording.frozen.clone())) else {
        return first(input);
    };
    // A recording of its own, dropped: it tells whether there is anything to differentiate, and the kernels compute as
    // they do the second time.
    let (output, differentiable) = recorded(Recording { frozen, ..Recording::default() }, || {
        let output = first(input)?;
        let differentiable = RECORDING.with(|r| r.borrow_mut().as_mut().is_some_and(|r| r.track(&output).is_some()));
        Ok((output, differentiable))
    })?
    .0;
    if !differentiable {
        return Ok(output.detach());
    }
    RECORDING.with(|r| {
        let mut recording = r.borrow_mut();
        let recording = recording.as_mut().ok_or(Error::NotRecorded)?;
        let tracked = recording.track(input);
        let output = recording.leaf(&output)?;
        let node = Node::Replay { output: output.id(), input: input.detach(), tracked, part: again };
        recording.nodes.push(node);
        Ok(output)
    })
}

/// Runs `f` with `recording` in the place of this thread's, which is put back afterwards.
fn recorded<T>(recording: Recording, f: impl FnOnce() -> Result<T>) -> Result<(T, Recording)> {
    let outer = RECORDING.with(|r| r.borrow_mut().replace(recording));
    let result = f();
    let inner = RECORDING.with(|r| std::mem::replace(&mut *r.borrow_mut(), outer));
    Ok((result?, inner.ok_or(Error::NotRecorded)?))
}

fn accumulate(grads: &mut HashMap<TensorId, Tensor>, id: TensorId, grad: Tensor) -> Result<()> {
    let sum = match grads.remove(&id) {
        Some(before) => elementwise::add_gradients(&before, &grad)?,
        None => grad.detach(),
    };
    grads.insert(id, sum);
    Ok(())
}

/// The gradients that [`Tape::backward`] found, by variable.
#[derive(Debug, Default)]
pub struct Gradients(HashMap<TensorId, Tensor>);

impl Gradients {
    /// The gradient of a variable, if the loss depends on it.
    pub fn get(&self, variable: &Tensor) -> Option<&Tensor> {
        self.0.get(&variable.id())
    }

    /// Removes and returns the gradient of a variable.
    pub fn remove(&mut self, variable: &Tensor) -> Option<Tensor> {
        self.0.remove(&variable.id())
    }

    /// Puts a gradient in a variable's place, as gradient clipping and accumulation do.
    pub fn insert(&mut self, variable: &Tensor, grad: Tensor) {
        self.0.insert(variable.id(), grad);
    }
}
