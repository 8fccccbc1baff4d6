//! Packed weights kept from one forward pass to the next. For a single image, packing a network's weights takes as long as
//! multiplying by them.

use std::cell::RefCell;
use std::collections::HashMap;
use std::marker::PhantomData;
use std::rc::Rc;

use candle_core::{Tensor, TensorId};

use super::Geometry;
use super::pack::{Columns, Packed};
use crate::tape;

/// Filters as they lie.
#[derive(Clone, Copy)]
pub struct Filters<'a> {
    pub values: &'a [f32],
    /// Which parameter they are, if they are one as it is.
    parameter: Option<TensorId>,
}

impl<'a> Filters<'a> {
    /// `values` are those of `weight`.
    pub fn of(weight: &Tensor, values: &'a [f32]) -> Self {
        // What is recorded is about to change.
        let parameter = weight.is_variable() && !tape::is_recording();
        Filters { values, parameter: parameter.then(|| weight.id()) }
    }

    /// Filters that are no parameter.
    #[cfg(test)]
    pub fn new(values: &'a [f32]) -> Self {
        Filters { values, parameter: None }
    }

    /// Packs them for the forward product, or finds them packed.
    pub(super) fn packed(&self, g: &Geometry, scale: Option<&[f32]>, width: usize) -> Rc<Packed> {
        let pack = || Rc::new(Packed::new(g, self.values, scale, Columns::Outputs, width));
        let Some(parameter) = self.parameter else { return pack() };
        KEPT.with_borrow_mut(|kept| {
            let Some(kept) = kept else { return pack() };
            if let Some(Kept { packed, scale: with }) = kept.get(&parameter)
                && with.as_deref() == scale
                && packed.fits(g, width)
            {
                return packed.clone();
            }
            let packed = pack();
            kept.insert(parameter, Kept { packed: packed.clone(), scale: scale.map(<[f32]>::to_vec) });
            packed
        })
    }
}

struct Kept {
    packed: Rc<Packed>,
    /// What was multiplied into them.
    scale: Option<Vec<f32>>,
}

thread_local! {
    static KEPT: RefCell<Option<HashMap<TensorId, Kept>>> = const { RefCell::new(None) };
}

/// Until the guard is dropped, convolutions and linear layers that run on this thread in f32 keep their packed weights: inference
/// packs them once, at the cost of their memory once more. [`ParamStore::set`](crate::ParamStore::set) and
/// [`Tape::start`](crate::Tape::start) on this thread drop what is kept; other ways to change a parameter in place, and other
/// threads, must not be used meanwhile.
pub fn keep_packed_weights() -> KeepPackedWeights {
    let outermost = KEPT.with_borrow_mut(|kept| match kept {
        Some(_) => false,
        None => {
            *kept = Some(HashMap::new());
            true
        }
    });
    KeepPackedWeights { outermost, not_send: PhantomData }
}

/// Parameters are about to change.
pub(crate) fn forget() {
    KEPT.with_borrow_mut(|kept| kept.as_mut().map(HashMap::clear));
}

/// Drops the packed weights in the end; within another such guard, that one does.
#[must_use = "weights are kept until this is dropped"]
pub struct KeepPackedWeights {
    outermost: bool,
    not_send: PhantomData<*const ()>,
}

impl Drop for KeepPackedWeights {
    fn drop(&mut self) {
        if self.outermost {
            KEPT.set(None);
        }
    }
}

#[cfg(test)]
mod tests {
    use candle_core::Device;

    use crate::layers::Linear;
    use crate::{Init, ParamStore, Result, Tape, keep_packed_weights};

    #[test]
    fn kept_weights_give_the_same_and_a_new_value_counts_at_once() -> Result<()> {
        let cpu = Device::Cpu;
        let init = Init::TruncatedNormal { std: 1.0, limit: 2.0 };
        let (layer, store) = ParamStore::build(0, &cpu, |b| Linear::new(5, 3, false, init, b))?;
        let x = candle_core::Tensor::arange(0f32, 10.0, &cpu)?.reshape((2, 5))?;
        let say = || -> Result<Vec<f32>> { Ok(layer.forward(&x)?.flatten_all()?.to_vec1()?) };
        let (alone, doubled) = (say()?, layer.weight.affine(2.0, 0.0)?);

        let kept = keep_packed_weights();
        {
            let _inner = keep_packed_weights();
            assert_eq!(say()?, alone);
        }
        // What is kept: a change behind its back is not seen ...
        let (_, weight) = store.parameters().next().expect("a weight");
        weight.set(&doubled)?;
        assert_eq!(say()?, alone);
        // ... until training begins, or the store is told.
        let tape = Tape::start();
        let twice: Vec<f32> = alone.iter().map(|y| 2.0 * y).collect();
        assert_eq!(say()?, twice);
        drop(tape);
        assert_eq!(say()?, twice);
        store.set("weight", &doubled.affine(0.5, 0.0)?)?;
        assert_eq!(say()?, alone);
        weight.set(&doubled)?;
        drop(kept);
        assert_eq!(say()?, twice);
        Ok(())
    }
}
