//! Batching: the images that arrive while the model runs are its next batch. The server never waits for a batch to
//! fill, so a single request is answered at once.

use std::panic::{AssertUnwindSafe, catch_unwind};

use image::DynamicImage;
use tokio::sync::{OwnedSemaphorePermit, mpsc, oneshot};

use crate::classify::Classify;
use crate::monitor::Monitor;

/// An image that waits for its probabilities.
pub(crate) struct Job {
    pub(crate) picture: DynamicImage,
    pub(crate) answer: oneshot::Sender<Answer>,
    /// The permits for the image's memory, which are released with the answer.
    pub(crate) memory: OwnedSemaphorePermit,
}

/// The class probabilities, or an error message.
pub(crate) type Answer = Result<Vec<f32>, String>;

/// The next batch: `first` and other waiting jobs, at most `max` in all. Jobs of disconnected clients are dropped.
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

/// Answers the jobs of a batch. If the model fails on the batch, each image is classified alone, so that one bad image
/// does not fail the others.
pub(crate) fn answer(classifier: &dyn Classify, jobs: Vec<Job>, monitor: &Monitor) {
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
        // Sending fails if the client has disconnected.
        let _ = client.send(answer);
    }
}

/// Calls the classifier. A panic or a wrong number of probabilities is an error too, as it must not stop the server.
pub(crate) fn probabilities(classifier: &dyn Classify, pictures: &[DynamicImage]) -> Answer {
    let expected = pictures.len() * classifier.classes().len();
    let result = catch_unwind(AssertUnwindSafe(|| classifier.probabilities(pictures)));
    let rows = result.map_err(|_| "the model panicked".to_owned())?.map_err(|error| error.to_string())?;
    match rows.len() == expected && expected > 0 {
        true => Ok(rows),
        false => Err(format!("the model returned {} probabilities, expected {expected}", rows.len())),
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use tokio::sync::Semaphore;

    use super::*;

    /// Returns an image's width; fails at 13 pixels, and panics at 17.
    struct Widths;

    impl Classify for Widths {
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
    fn a_batch_holds_waiting_jobs_up_to_its_size_without_disconnected_clients() {
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
    fn an_image_on_which_the_model_fails_does_not_affect_others() {
        let monitor = Monitor::new();
        let (jobs, mut clients): (Vec<_>, Vec<_>) = [5, 13, 17, 9].map(job).into_iter().unzip();
        answer(&Widths, jobs, &monitor);
        let answers: Vec<Answer> = clients.iter_mut().map(|client| client.try_recv().expect("an answer")).collect();
        let error = |text: &str| Err(text.to_owned());
        assert_eq!(answers, [Ok(vec![5.0]), error("13 pixels"), error("the model panicked"), Ok(vec![9.0])]);
        assert!(monitor.text().contains("tallow_batch_size_sum 4.0"), "{}", monitor.text());
    }
}
