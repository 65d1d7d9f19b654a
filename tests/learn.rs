//! The lessons, driven from first to last without a terminal.

mod common;

use common::forklab;
use forklab::learn::app::{App, Input};
use forklab::learn::learner::{Key, Learner, Mode};
use forklab::learn::lesson::Lesson;
use forklab::learn::run::Run;
use forklab::learn::screen::{GOTO_HELP, HELP, MENU_HELP, SMALLEST, Theme, WHO_HELP};
use forklab::learn::{frame::Frame, lessons, print};
use ratatui::Terminal;
use ratatui::backend::TestBackend;
use sim::What;

fn learner(lesson: &'static Lesson) -> Learner {
    Learner::new(lesson).unwrap_or_else(|error| panic!("{}: {error}", lesson.name))
}

fn find(name: &str) -> Learner {
    learner(lessons::find(name).expect("a lesson"))
}

/// Answers what is asked here as it is right.
fn answer(learner: &mut Learner) {
    if let Some(right) = learner.question().filter(|posed| posed.said.is_none()).map(|posed| posed.asked.right) {
        learner.press(Key::Digit(u8::try_from(right + 1).expect("few choices")));
    }
}

/// What the screen of an app shows, in rows.
fn screen(app: &App, (width, height): (u16, u16)) -> String {
    let mut terminal = Terminal::new(TestBackend::new(width, height)).expect("memory");
    terminal.draw(|frame| app.draw(frame, Theme { color: false })).expect("memory");
    let buffer = terminal.backend().buffer();
    let row = |y| (0..width).map(|x| buffer[(x, y)].symbol()).collect::<String>().trim_end().to_owned();
    (0..height).map(row).collect::<Vec<_>>().join("\n")
}

fn pressed(lesson: &str, keys: &[Key]) -> App {
    let mut app = App::lesson(lessons::find(lesson).expect("a lesson")).expect("it runs");
    for key in keys {
        assert!(app.press(Input::Key(*key)).expect("it runs"));
    }
    app
}

#[test]
fn there_are_eight_lessons_with_numbers_in_order_and_names_of_one_word() {
    for (at, lesson) in lessons::ALL.iter().enumerate() {
        assert_eq!(lesson.number, at + 1);
        assert!(lesson.name.bytes().all(|byte| byte.is_ascii_lowercase()), "{}", lesson.name);
        assert!(std::ptr::eq(lessons::find(lesson.name).expect("by name"), *lesson));
        assert!(std::ptr::eq(lessons::find(&lesson.number.to_string()).expect("by number"), *lesson));
    }
}

#[test]
fn every_stop_of_every_lesson_is_reached_in_order_and_every_question_has_its_answer_among_its_choices() {
    for lesson in lessons::ALL {
        let run = lesson.run().unwrap_or_else(|error| panic!("{}: {error}", lesson.name));
        let stops = lesson.stops(&run);
        assert_eq!(stops.len(), lesson.stops.len(), "{}: a stop never comes", lesson.name);
        assert!(stops.is_sorted_by_key(|(frame, _)| *frame), "{}", lesson.name);
        let mut questions = 0;
        for (frame, stop) in stops {
            let Some(question) = &stop.question else { continue };
            questions += 1;
            let place = format!("{}, event {frame}: {}", lesson.name, question.prompt);
            let choices = (question.choices)(&run);
            let answer = (question.answer)(&run);
            assert!(choices.contains(&answer), "{place} {answer:?} is not in {choices:?}");
            let asked = question.ask(&run).unwrap_or_else(|| panic!("{place}"));
            assert!((2..=4).contains(&asked.choices.len()), "{place} {:?}", asked.choices);
            assert!(asked.choices.iter().all(|choice| !choice.is_empty()), "{place} {:?}", asked.choices);
            assert_eq!(asked.choices[asked.right], answer, "{place}");
        }
        assert!(questions >= 3, "{}: {questions} questions", lesson.name);
    }
}

#[test]
fn the_answers_are_those_of_today() {
    let mut text = String::new();
    for lesson in lessons::ALL {
        text += &format!("{}\n", lesson.name);
        for posed in learner(lesson).questions() {
            let asked = &posed.asked;
            text +=
                &format!("  {}\n    {} of {}\n", asked.prompt, asked.choices[asked.right], asked.choices.join(" | "));
        }
    }
    insta::assert_snapshot!("learn_answers", text);
}

#[test]
fn each_lesson_is_walked_from_first_to_last_and_back_again_over_the_same_frames() {
    for lesson in lessons::ALL {
        let mut learner = learner(lesson);
        let mut seen: Vec<Frame> = vec![learner.frame().clone()];
        while !learner.is_over() {
            answer(&mut learner);
            let before = learner.at();
            learner.press(Key::Next);
            assert_eq!(learner.at(), before + 1, "{}: {}", lesson.name, learner.note);
            seen.push(learner.frame().clone());
        }
        answer(&mut learner);
        assert_eq!(seen.len(), learner.run().events.len() + 1);
        assert!(learner.is_done(), "{}", lesson.name);
        let (right, said, of) = learner.score();
        assert_eq!((right, said), (of, of), "{}", lesson.name);
        for frame in seen.iter().rev() {
            assert_eq!(learner.frame(), frame, "{}, event {}", lesson.name, learner.at());
            learner.press(Key::Back);
        }
        assert_eq!(learner.at(), 0);
    }
}

#[test]
fn a_jump_arrives_where_the_single_steps_arrive() {
    for lesson in lessons::ALL {
        let mut learner = learner(lesson);
        learner.press(Key::End);
        let last = learner.frame().step;
        for step in 1..=last {
            learner.press(Key::Goto);
            step.to_string().bytes().for_each(|digit| learner.press(Key::Digit(digit - b'0')));
            learner.press(Key::Enter);
            let at = learner.run().events.iter().position(|event| event.step >= step).expect("not after the last");
            assert_eq!(learner.at(), at + 1, "{}, step {step}", lesson.name);
        }
        learner.press(Key::Start);
        let stops: Vec<_> = lesson.stops(learner.run()).iter().map(|(frame, _)| *frame).collect();
        let mut distinct = stops.clone();
        distinct.dedup();
        for stop in distinct.iter().skip(1) {
            learner.press(Key::NextStop);
            assert_eq!(learner.at(), *stop, "{}", lesson.name);
        }
        for stop in distinct.iter().rev().skip(1) {
            learner.press(Key::LastStop);
            assert_eq!(learner.at(), *stop, "{}", lesson.name);
        }
        for at in 0..learner.questions().len() {
            learner.press(Key::NextQuestion);
            assert_eq!(learner.at(), learner.questions()[at].frame, "{}", lesson.name);
        }
    }
}

#[test]
fn a_question_stands_in_the_way_of_a_step_until_it_is_answered_or_shown() {
    let mut learner = find("path");
    learner.press(Key::NextQuestion);
    let at = learner.at();
    learner.press(Key::Next);
    assert_eq!(learner.at(), at);
    assert!(learner.note.contains("prediction first"), "{}", learner.note);
    learner.press(Key::Digit(9));
    assert!(learner.note.contains("the answers are 1 to"), "{}", learner.note);
    learner.press(Key::Show);
    learner.press(Key::Next);
    assert_eq!(learner.at(), at + 1);
    assert_eq!(learner.score(), (0, 0, learner.questions().len()), "what was shown was not predicted");
}

#[test]
fn who_has_every_answer_shown_has_predicted_nothing() {
    for lesson in lessons::ALL {
        let mut keys = vec![Key::Show];
        keys.extend(lesson.stops.iter().flat_map(|_| [Key::NextStop, Key::Show]));
        let app = pressed(lesson.name, &[keys.as_slice(), &[Key::End]].concat());
        let of = app.learner().expect("open").questions().len();
        let text = screen(&app, (100, 30));
        assert!(text.contains(&format!("You predicted 0 of {of}. ")), "{text}");
    }
}

#[test]
fn the_first_word_counts() {
    let mut learner = find("path");
    learner.press(Key::NextQuestion);
    let right = learner.question().expect("asked").asked.right;
    learner.press(Key::Digit(if right == 0 { 2 } else { 1 }));
    learner.press(Key::Digit(u8::try_from(right + 1).expect("few")));
    assert_eq!(learner.score(), (0, 1, learner.questions().len()));
}

#[test]
fn a_reader_s_own_run_has_no_questions_of_the_lesson_s() {
    let mut learner = find("moment");
    learner.press(Key::NextQuestion);
    assert!(learner.question().is_some());
    learner.press(Key::Who);
    learner.press(Key::Digit(1));
    assert!(learner.question().is_none(), "{}", learner.note);
    while !learner.is_over() {
        let before = learner.at();
        learner.press(Key::Next);
        assert_eq!(learner.at(), before + 1, "{}", learner.note);
    }
    learner.press(Key::Undo);
    assert!(learner.question().is_some());
}

/// What a change keeps: everything up to where the reader stood.
fn keeps_the_prefix(run: &Run, changed: &Run, at: usize) {
    assert!(changed.events.len() >= at);
    assert_eq!(run.events[..at], changed.events[..at]);
    assert_eq!(run.frames[..=at], changed.frames[..=at]);
    assert_ne!(run.events, changed.events, "and something follows that is new");
}

#[test]
fn letting_another_lane_run_changes_what_follows_and_nothing_before() {
    let mut tried = 0;
    for lesson in lessons::ALL {
        let run = lesson.run().expect("it runs");
        for (at, choice) in run.choices.iter().enumerate() {
            for lane in (0..u32::try_from(choice.lanes.len()).expect("few")).filter(|lane| *lane != choice.picked) {
                let changed = run.picking(at, lane).expect("it runs");
                keeps_the_prefix(&run, &changed, choice.at);
                tried += 1;
            }
        }
    }
    assert!(tried > 100, "{tried}");
}

#[test]
fn failing_an_allocation_changes_what_follows_and_nothing_before() {
    let mut tried = 0;
    for lesson in lessons::ALL {
        let run = lesson.run().expect("it runs");
        for (at, event) in run.events.iter().enumerate() {
            let Some(changed) = run.failing(at) else {
                assert!(!matches!(event.what, What::Alloc { ok: true, .. }));
                continue;
            };
            let changed = changed.expect("it runs");
            keeps_the_prefix(&run, &changed, at);
            let failed = matches!(changed.events[at].what, What::Alloc { ok: false, .. });
            assert!(failed, "{}, event {at}: {:?}", lesson.name, changed.events[at]);
            tried += 1;
        }
    }
    assert!(tried > 40, "{tried}");
}

#[test]
fn a_changed_run_can_be_replayed_from_its_line() {
    let run = lessons::find("failures").expect("a lesson").run().expect("it runs");
    let failed =
        run.events.iter().position(|event| matches!(event.what, What::Alloc { site: "kobject_fork.envp", .. }));
    let changed = run.failing(failed.expect("it allocates")).expect("an allocation").expect("it runs");
    assert_eq!(Run::of(&changed.replay()).expect("a line").events, changed.events);
    let run = lessons::find("moment").expect("a lesson").run().expect("it runs");
    for at in 0..run.choices.len() {
        let other = u32::from(run.choices[at].picked == 0);
        let changed = run.picking(at, other).expect("it runs");
        assert_eq!(Run::of(&changed.replay()).expect("a line").events, changed.events, "{}", changed.replay());
    }
}

#[test]
fn a_change_is_on_top_of_the_one_before_and_both_are_taken_back() {
    let mut learner = find("moment");
    learner.press(Key::Goto);
    learner.press(Key::Digit(5));
    learner.press(Key::Enter);
    let original = learner.run().events.clone();
    learner.press(Key::Who);
    let Mode::Who(choice) = learner.mode else { panic!("{}", learner.note) };
    let other = u8::from(learner.run().choices[choice].picked == 0) + 1;
    learner.press(Key::Digit(other));
    let first = learner.run().events.clone();
    assert_ne!(first, original);
    assert!(learner.change().is_some_and(|(what, reached)| what.ends_with("runs next") && reached));
    learner.press(Key::Fail);
    let second = learner.run().events.clone();
    let both = learner.at();
    assert_eq!(second[..both], first[..both]);
    assert_ne!(second, first);
    learner.press(Key::Undo);
    assert_eq!(learner.run().events, first);
    learner.press(Key::Undo);
    assert_eq!(learner.run().events, original);
    learner.press(Key::Undo);
    assert!(learner.note.contains("nothing was changed"), "{}", learner.note);
}

#[test]
fn in_the_lesson_about_the_moment_the_reader_can_let_the_parent_be_in_time() {
    let mut learner = find("moment");
    assert_eq!(learner.run().violations.len(), 1);
    learner.press(Key::NextQuestion);
    learner.press(Key::Who);
    let Mode::Who(choice) = learner.mode else { panic!("{}", learner.note) };
    let p = learner.run().choices[choice].lanes.iter().position(|lane| lane.as_str() == "p").expect("it can go on");
    learner.press(Key::Digit(u8::try_from(p + 1).expect("few")));
    assert!(learner.run().violations.is_empty(), "{}", learner.note);
}

#[test]
fn in_the_lesson_about_overruns_nothing_is_lost_if_the_listener_runs_when_the_sender_yields() {
    let mut learner = find("overrun");
    learner.press(Key::NextQuestion);
    learner.press(Key::Who);
    let Mode::Who(choice) = learner.mode else { panic!("{}", learner.note) };
    let lanes = learner.run().choices[choice].lanes.clone();
    let elsa = lanes.iter().position(|lane| lane.as_str() == "elsa").unwrap_or_else(|| panic!("{lanes:?}"));
    learner.press(Key::Digit(u8::try_from(elsa + 1).expect("few")));
    assert_eq!(learner.run().heard[0].lost, 0, "{}", learner.note);
}

#[test]
fn who_runs_next_in_this_run_is_not_told_while_that_is_asked() {
    let told = |keys: &[Key]| screen(&pressed("moment", keys), SMALLEST).contains("does, in this run");
    assert!(!told(&[Key::NextQuestion, Key::Who]));
    assert!(!told(&[Key::NextQuestion, Key::Back, Key::Who]), "nor one event before");
    assert!(told(&[Key::NextQuestion, Key::Digit(1), Key::Who]));
    assert!(told(&[Key::NextQuestion, Key::Show, Key::Who]));
}

#[test]
fn the_frames_say_what_the_trace_says() {
    let learner = find("sleep");
    let run = learner.run();
    let in_lock = run.frames.iter().filter(|frame| frame.current().is_some_and(|lane| lane.is_atomic())).count();
    assert!(in_lock > 10, "{in_lock}");
    let last = run.frames.last().expect("there is one");
    assert!(last.lanes.iter().all(|lane| lane.locks.is_empty()));
    // Two messages in the queue of the small buffer at the most, and the latch with them.
    let run = lessons::find("overrun").expect("a lesson").run().expect("it runs");
    let most = run.frames.iter().flat_map(|frame| &frame.queues).map(|queue| queue.messages.len()).max();
    assert_eq!(most, Some(2));
    assert!(run.frames.iter().any(|frame| frame.queues.iter().any(|queue| queue.latched && queue.err)));
    assert!(
        run.frames.last().is_some_and(|frame| frame.queues.iter().all(|queue| !queue.latched && queue.charged == 0))
    );
}

#[test]
fn every_text_and_every_question_fits_on_the_smallest_screen() {
    for lesson in lessons::ALL {
        let mut app = App::lesson(lesson).expect("it runs");
        let mut keys = vec![Key::Start];
        keys.extend(lesson.stops.iter().flat_map(|_| [Key::Show, Key::NextStop]));
        for key in keys {
            for size in [SMALLEST, (100, 30)] {
                let text = screen(&app, size);
                let learner = app.learner().expect("open");
                let last = |text: &str| text.split_whitespace().last().unwrap_or_default().to_owned();
                let must_have = match learner.question() {
                    None => learner.text(),
                    Some(posed) if posed.said.is_none() => posed.asked.prompt,
                    Some(posed) => posed.asked.why,
                };
                let below: String = text.lines().rev().take(13).collect::<Vec<_>>().join("\n");
                assert!(below.contains(&last(must_have)), "{}: {must_have}\n{text}", lesson.name);
                for choice in learner.question().iter().flat_map(|posed| &posed.asked.choices) {
                    assert!(text.contains(choice.as_str()), "{}: {choice}\n{text}", lesson.name);
                }
            }
            app.press(Input::Key(key)).expect("it runs");
        }
    }
}

#[test]
fn the_number_of_a_choice_cannot_be_taken_for_a_number_that_is_one() {
    for lesson in lessons::ALL {
        let paper = print::print(lesson).expect("it runs");
        let mut app = App::lesson(lesson).expect("it runs");
        for _ in lesson.stops {
            let text = screen(&app, SMALLEST);
            for (at, choice) in
                app.learner().and_then(Learner::question).iter().flat_map(|p| p.asked.choices.iter().enumerate())
            {
                let numbered = format!("{}) {choice}", at + 1);
                assert!(text.contains(&numbered) && paper.contains(&numbered), "{numbered}\n{text}");
            }
            app.press(Input::Key(Key::NextStop)).expect("it runs");
        }
    }
}

#[test]
fn the_keys_on_the_screen_fit_into_eighty_columns() {
    for keys in HELP.into_iter().chain([MENU_HELP, GOTO_HELP, WHO_HELP]) {
        assert!(keys.chars().count() <= 80, "{keys}: {}", keys.chars().count());
    }
}

#[test]
fn a_prompt_shows_its_own_keys_and_no_others() {
    for (key, help) in [(Key::Goto, GOTO_HELP), (Key::Who, WHO_HELP)] {
        let text = screen(&pressed("moment", &[key]), SMALLEST);
        assert!(text.contains(help) && HELP.iter().all(|keys| !text.contains(keys)), "{text}");
        let text = screen(&pressed("moment", &[key, Key::Cancel]), SMALLEST);
        assert!(!text.contains(help) && HELP.iter().all(|keys| text.contains(keys)), "{text}");
    }
}

#[test]
fn a_screen_that_is_too_small_says_what_it_needs() {
    for size in [(79, 24), (80, 23), (20, 5), (1, 1), (0, 0)] {
        for app in [App::menu(), pressed("path", &[Key::End])] {
            let text = screen(&app, size);
            assert!(size.0 < 30 || text.contains("80 columns and 24 rows"), "{text}");
        }
    }
    for size in [(80, 24), (81, 25), (100, 30), (132, 43), (300, 100)] {
        for lesson in lessons::ALL {
            screen(&pressed(lesson.name, &[Key::NextQuestion, Key::Who, Key::Panel]), size);
        }
    }
}

#[test]
fn the_first_screen_of_each_lesson() {
    for lesson in lessons::ALL {
        let app = App::lesson(lesson).expect("it runs");
        insta::assert_snapshot!(format!("learn_first_{}", lesson.name), screen(&app, (100, 30)));
    }
}

#[test]
fn screens_on_the_way() {
    insta::assert_snapshot!("learn_menu", screen(&App::menu(), SMALLEST));
    let question = [Key::NextQuestion];
    let asked = pressed("path", &question);
    insta::assert_snapshot!("learn_question_small", screen(&asked, SMALLEST));
    insta::assert_snapshot!("learn_question", screen(&asked, (100, 30)));
    let shown = pressed("path", &[Key::NextQuestion, Key::Show]);
    insta::assert_snapshot!("learn_answer_small", screen(&shown, SMALLEST));
    let found = pressed("moment", &[Key::NextQuestion, Key::NextQuestion, Key::NextQuestion, Key::Show, Key::Next]);
    insta::assert_snapshot!("learn_found", screen(&found, (100, 30)));
    let lock = pressed("sleep", &[Key::NextQuestion, Key::Digit(1)]);
    insta::assert_snapshot!("learn_lock_small", screen(&lock, SMALLEST));
    let queue = pressed("overrun", &[Key::NextStop; 6]);
    insta::assert_snapshot!("learn_queue", screen(&queue, (100, 30)));
    let message = pressed("wire", &[Key::NextQuestion, Key::NextQuestion, Key::Show, Key::Next, Key::Panel]);
    insta::assert_snapshot!("learn_message_small", screen(&message, SMALLEST));
    let who = pressed("moment", &[Key::NextQuestion, Key::Who]);
    insta::assert_snapshot!("learn_who_small", screen(&who, SMALLEST));
    let failed = pressed("failures", &[Key::NextQuestion, Key::Fail, Key::Show, Key::Next, Key::Next, Key::Next]);
    insta::assert_snapshot!("learn_failed_small", screen(&failed, SMALLEST));
}

#[test]
fn a_lesson_on_paper() {
    for lesson in lessons::ALL {
        let text = print::print(lesson).expect("it runs");
        for line in text.lines() {
            let chars = line.chars().count();
            // A replay line is for pasting, in one piece.
            assert!(chars <= 80 || line.starts_with("forklab replay"), "{}: {chars}: {line}", lesson.name);
            assert_eq!(line.trim_end(), line);
        }
        insta::assert_snapshot!(format!("learn_print_{}", lesson.name), text);
        let done = forklab(&["learn", "--print", lesson.name]);
        assert_eq!((done.code, done.out.as_str()), (Some(0), text.as_str()));
    }
}

#[test]
fn the_menu_leads_through_all_lessons() {
    let mut app = App::menu();
    for key in [Key::NextStop, Key::LastStop, Key::LastStop, Key::Enter] {
        app.press(Input::Key(key)).expect("it runs");
    }
    for lesson in lessons::ALL {
        assert_eq!(app.learner().expect("open").lesson.number, lesson.number);
        for key in [Key::End, Key::Show, Key::Enter] {
            app.press(Input::Key(key)).expect("it runs");
        }
    }
    assert!(app.press(Input::Quit).expect("it runs"), "back to the list");
    assert!(app.learner().is_none());
    assert!(!app.press(Input::Quit).expect("it runs"));
    let mut alone = App::lesson(lessons::ALL[0]).expect("it runs");
    assert!(!alone.press(Input::Quit).expect("it runs"), "there was no list to go back to");
}
