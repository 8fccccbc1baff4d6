//! The backward pass over what a tape recorded.

use std::collections::HashMap;

use candle_core::{Tensor, TensorId};

use super::{Node, Recording, Tape, recorded, suspend};
use crate::context::suspended;
use crate::error::{Error, Result};
use crate::op::add_gradients;
use crate::precision::autocast;

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

impl Tape {
    /// The gradients of the scalar `loss` with respect to every variable that it depends on.
    ///
    /// # Errors
    /// [`Error::NotRecorded`] if it depends on none; errors of the operations' backward.
    pub fn backward(self, loss: &Tensor) -> Result<Gradients> {
        let mut recording = self.take().ok_or(Error::NotRecorded)?;
        if recording.track(loss).is_none() {
            return Err(Error::NotRecorded);
        }
        // No other tape of this thread records the backward pass.
        let _hidden = suspend();
        let mut grads = HashMap::from([(loss.id(), loss.ones_like()?)]);
        recording.walk(&mut grads, Some(loss.id()))?;
        Ok(Gradients(grads))
    }
}

impl Recording {
    /// Walks the nodes in reverse, from the gradients of the last outputs to those of their inputs. The gradient of
    /// `loss` is 1.
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
                Node::Replay { output, input, tracked, part, precision } => {
                    let Some(grad) = grads.remove(&output) else {
                        continue;
                    };
                    let mut again = Recording { frozen: self.frozen.clone(), ..Recording::default() };
                    let input = if tracked.is_some() { again.leaf(&input)? } else { input };
                    let (result, mut again) = {
                        let _format = autocast(precision);
                        recorded(again, || part(&input))?
                    };
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
                    // Its matrix products wait in rayon.
                    let store = suspended(|| seeded.backward())?;
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
}

fn accumulate(grads: &mut HashMap<TensorId, Tensor>, id: TensorId, grad: Tensor) -> Result<()> {
    let sum = match grads.remove(&id) {
        Some(before) => add_gradients(&before, &grad)?,
        None => grad.detach(),
    };
    grads.insert(id, sum);
    Ok(())
}
