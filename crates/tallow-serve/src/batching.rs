//! Pictures of many requests to the model together: whatever has come while it computed is its next batch. Nothing waits
//! for a batch to fill, so that a lone request is answered at once.

use std::panic::{AssertUnwindSafe, catch_unwind};

use image::DynamicImage;
use tokio::sync::{OwnedSemaphorePermit, mpsc, oneshot};

use crate::Classifier;
use crate::monitor::Monitor;

/// A picture that waits for its answer.
pub(crate) struct Job {
    pub(crate) picture: DynamicImage,
    pub(crate) answer: oneshot::Sender<Answer>,
    /// The memory that the picture takes, given back when it is answered.
    pub(crate) memory: OwnedSemaphorePermit,
}

/// The probabilities of the classes, or why there are none.
pub(crate) type Answer = Result<Vec<f32>, String>;

/// `first`, and what else waits, at most `max` in all; not those whose clients have gone.
pub(crate) fn batch(first: Job, waiting: &mut mpsc::Receiver<Job>, max: usize) -> Vec<Job> {
    let mut jobs = Vec::from_iter(Some(first).filter(|job| !job.answer.is_closed()));
    while jobs.len() < max
        && let Ok(job) = waiting.try_recv()
    {
        if !job.answer.is_closed() {
            jobs.push(job);
        }
    }
    jobs
}

/// Answers each of `jobs`. If the model refuses the batch, it is asked for each picture alone: one that it cannot take does
/// not spoil the others.
pub(crate) fn answer(classifier: &dyn Classifier, jobs: Vec<Job>, monitor: &Monitor) {
    if jobs.is_empty() {
        return;
    }
    monitor.batch(jobs.len());
    let classes = classifier.classes().len();
    let (pictures, clients): (Vec<_>, Vec<_>) =
        jobs.into_iter().map(|job| (job.picture, (job.answer, job.memory))).unzip();
    let answers: Vec<Answer> = match probabilities(classifier, &pictures) {
        Ok(rows) => rows.chunks_exact(classes).map(|row| Ok(row.to_vec())).collect(),
        Err(error) if pictures.len() == 1 => vec![Err(error)],
        Err(_) => pictures.iter().map(|picture| probabilities(classifier, std::slice::from_ref(picture))).collect(),
    };
    for ((client, _), answer) in clients.into_iter().zip(answers) {
        // Fails where the client has gone.
        let _ = client.send(answer);
    }
}

/// What the classifier says; an error also where it panics or says too little, which must not end the server.
pub(crate) fn probabilities(classifier: &dyn Classifier, pictures: &[DynamicImage]) -> Answer {
    let expected = pictures.len() * classifier.classes().len();
    let said = catch_unwind(AssertUnwindSafe(|| classifier.probabilities(pictures)));
    let rows = said.map_err(|_| "the model panicked".to_owned())?.map_err(|error| error.to_string())?;
    match rows.len() == expected && expected > 0 {
        true => Ok(rows),
        false => Err(format!("the model gave {} probabilities, expected {expected}", rows.len())),
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use tokio::sync::Semaphore;

    use super::*;

    /// Says a picture's width; refuses one of 13 pixels, and panics at one of 17.
    struct Widths;

    impl Classifier for Widths {
        fn name(&self) -> String {
            "widths".to_owned()
        }

        fn classes(&self) -> &[String] {
            static CLASSES: std::sync::LazyLock<Vec<String>> = std::sync::LazyLock::new(|| vec!["wide".to_owned()]);
            &CLASSES
        }

        fn probabilities(
            &self,
            pictures: &[DynamicImage],
        ) -> Result<Vec<f32>, Box<dyn std::error::Error + Send + Sync>> {
            let width = |picture: &DynamicImage| match picture.width() {
                13 => Err("13 pixels".into()),
                17 => panic!("17 pixels"),
                width => Ok(width as f32),
            };
            pictures.iter().map(width).collect()
        }
    }

    fn job(width: u32) -> (Job, oneshot::Receiver<Answer>) {
        let memory = Arc::new(Semaphore::new(1)).try_acquire_owned().expect("a permit");
        let (answer, answered) = oneshot::channel();
        (Job { picture: DynamicImage::new_luma8(width, 1), answer, memory }, answered)
    }

    #[test]
    fn a_batch_is_what_waits_up_to_its_size_without_clients_that_have_gone() {
        let (queue, mut waiting) = mpsc::channel(8);
        let (first, _kept) = job(1);
        let mut clients = Vec::new();
        for width in 2..=6 {
            let (job, client) = job(width);
            assert!(queue.try_send(job).is_ok());
            clients.push(client);
        }
        drop(clients.remove(1));
        let widths = |jobs: Vec<Job>| jobs.iter().map(|job| job.picture.width()).collect::<Vec<_>>();
        assert_eq!(widths(batch(first, &mut waiting, 4)), [1, 2, 4, 5]);
        let (gone, client) = job(7);
        drop(client);
        assert_eq!(widths(batch(gone, &mut waiting, 4)), [6]);
    }

    #[test]
    fn a_picture_that_the_model_refuses_spoils_no_other() {
        let monitor = Monitor::new();
        let (jobs, mut clients): (Vec<_>, Vec<_>) = [5, 13, 17, 9].map(job).into_iter().unzip();
        answer(&Widths, jobs, &monitor);
        let answers: Vec<Answer> = clients.iter_mut().map(|client| client.try_recv().expect("an answer")).collect();
        let error = |text: &str| Err(text.to_owned());
        assert_eq!(answers, [Ok(vec![5.0]), error("13 pixels"), error("the model panicked"), Ok(vec![9.0])]);
        assert!(monitor.text().contains("tallow_batch_size_sum 4.0"), "{}", monitor.text());
    }
}
