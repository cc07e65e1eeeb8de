//! The receiving half: heads, bodies, and the choice of an answer.

use super::{Connection, Current, OpenAnswer, Phase};
use crate::answer::{Envelope, Plan, Sheet};
use crate::http::{self, BodyFraming, BodyReader, BodyStep, Head, HeadStep};
use crate::ledger::SeenRequest;
use crate::provider::{self, Answered, Ask, Refusal, Route, Shape};
use crate::script::{Fault, Script};
use crate::server::World;
use crate::text::{fnv1a64, fnv1a64_more};
use std::rc::Rc;
use std::time::Instant;

impl Connection {
    /// Looks for a head. True when there is more to do at once.
    pub(super) fn read_head(&mut self, world: &mut World) -> bool {
        let input = &self.input[self.input_at..];
        if input.is_empty() {
            return false;
        }
        match http::read_head(input, self.searched) {
            HeadStep::More(searched) => {
                self.searched = searched;
                false
            }
            HeadStep::Head(head) => {
                self.request.bytes.clear();
                self.request.bytes.extend_from_slice(&input[..head.len]);
                self.input_at += head.len;
                self.searched = 0;
                self.on_head(head, world);
                true
            }
            HeadStep::Malformed(why) => {
                self.on_malformed(&why, world);
                true
            }
        }
    }

    /// Reads on in the body. True when there is more to do at once.
    pub(super) fn read_body(&mut self, world: &mut World) -> bool {
        let (Phase::Body(reader), Some(head)) = (&mut self.phase, &mut self.request.head) else {
            return false;
        };
        let limit = self.request.script.as_ref().map_or(0, |script| script.body_limit);
        let kept = Route::of(head, &self.request.bytes) != Route::Plain;
        let (body, counted) = (&mut self.request.body, &mut self.request.counted);
        let input = &self.input[self.input_at..];
        let before = counted.0;
        let step = reader.eat(input, |bytes| {
            counted.0 += bytes.len() as u64;
            if kept {
                body.extend_from_slice(bytes);
            } else {
                counted.1 = fnv1a64_more(counted.1, bytes);
            }
        });
        let used = if let BodyStep::End(used) = step { used } else { input.len() };
        world.ledger.body_bytes_in += counted.0 - before;
        self.input_at += used;
        match step {
            BodyStep::Malformed(why) => self.on_malformed(why, world),
            _ if kept && body.len() > limit => {
                head.keep_alive = false;
                self.dispatch(world, Some(Refusal::too_large()));
            }
            BodyStep::End(_) => self.dispatch(world, None),
            BodyStep::More => return false,
        }
        true
    }

    /// A head has arrived: settles what the request's script is, and how its body ends.
    fn on_head(&mut self, head: Box<Head>, world: &mut World) {
        let ledger = &mut world.ledger;
        ledger.protocol_faults += head.faults.len() as u64;
        head.faults.iter().for_each(|fault| ledger.reason(fault.clone()));
        let request = &mut self.request;
        request.counted = (0, fnv1a64(b""));
        request.settle(&head, world);
        self.idle_timeout = request.script.as_ref().and_then(|script| script.idle_timeout);
        let early = request.fault == Fault::EarlyAnswer;
        let reader = match head.framing {
            BodyFraming::None => None,
            BodyFraming::Length(bytes) => Some(BodyReader::length(bytes)),
            BodyFraming::Chunked => Some(BodyReader::chunked()),
        };
        let waits = head.expects_continue && self.input.len() == self.input_at;
        self.request.head = Some(head);
        match reader {
            Some(reader) if !early => {
                if waits {
                    self.output.write(|out| out.extend_from_slice(b"HTTP/1.1 100 Continue\r\n\r\n"));
                }
                self.phase = Phase::Body(reader);
            }
            _ => self.dispatch(world, None),
        }
    }

    /// The request is complete, or will not be read further: chooses the answer.
    fn dispatch(&mut self, world: &mut World, refusal: Option<Refusal>) {
        let request = &mut self.request;
        let (Some(head), Some(script)) = (request.head.as_deref(), request.script.clone()) else { return };
        world.ledger.requests += 1;
        let number = world.ledger.requests;
        let ask = Ask {
            route: Route::of(head, &request.bytes),
            head,
            bytes: &request.bytes,
            body: &request.body,
            script: &script,
            fault: request.fault,
            counted: request.counted,
            number,
        };
        if script.record {
            world.recorder.push(seen(&ask, number, self.number, world));
        }
        let refusal = refusal.or(request.unsettled.take().map(|why| Refusal::new(400, why)));
        let plan = choose(&ask, refusal, &script, world);
        let (tag, kept) = (script.tag, script.journal);
        // `world.now` may be older than the bytes that were read after it.
        let arrived = if kept { Instant::now() } else { world.now };
        self.open_answers.push_back(OpenAnswer { number, tag, arrived, kept });
        self.phase = Phase::Answer(Current {
            plan: if ask.fault == Fault::None { plan } else { Rc::new(Plan::clone(&plan).filled(number)) },
            number,
            step: 0,
            filled: 0,
            filled_in_step: 0,
            clock: world.now,
            due: None,
        });
    }

    /// Bytes that are not HTTP/1.1: a short answer, and the end. It is no request, so the books have it apart.
    fn on_malformed(&mut self, why: &str, world: &mut World) {
        world.ledger.malformed += 1;
        world.ledger.reason(format!("malformed: {why}"));
        let mut sheet = Sheet::default();
        sheet.text(&Refusal::new(400, format!("malformed request: {why}")).body(Shape::OpenAi));
        let mut envelope = Envelope::plain(400, "application/json");
        envelope.keep_alive = false;
        let plan = sheet.plan(&envelope);
        self.output.write(|out| plan.steps.iter().for_each(|step| plan.copy_out(step, 0, out)));
        self.request.clear();
        self.input_at = self.input.len();
        self.phase = Phase::Finishing;
    }
}

impl super::Request {
    /// The script and the fault of this request: the world's, or what its `x-sim-` lines make of it.
    fn settle(&mut self, head: &Head, world: &mut World) {
        if head.settings.is_empty() {
            self.fault = world.next_fault();
            self.script = Some(Rc::clone(&world.script));
            return;
        }
        let mut script = Script::clone(&world.script);
        let mut own_fault = false;
        for (name, value) in &head.settings {
            let name = String::from_utf8_lossy(&self.bytes[name.clone()]).to_ascii_lowercase();
            let value = String::from_utf8_lossy(&self.bytes[value.clone()]);
            own_fault |= name == "fault";
            if let Err(why) = script.set(&name, &value) {
                self.unsettled = Some(format!("x-sim-{why}"));
            }
        }
        self.fault = if own_fault { script.fault } else { world.next_fault() };
        self.script = Some(Rc::new(script));
    }
}

/// The plan that answers, from memory if the same was asked before.
fn choose(ask: &Ask<'_>, refusal: Option<Refusal>, script: &Rc<Script>, world: &mut World) -> Rc<Plan> {
    let refusal = match (refusal, ask.fault) {
        (Some(refusal), _) => Some(refusal),
        // A fault that answers instead of the provider asks for no key.
        (None, Fault::Status(_) | Fault::Html(_) | Fault::GarbageJson | Fault::EarlyAnswer) => None,
        (None, _) => provider::check_head(ask).err(),
    };
    let ordinary = ask.fault == Fault::None && ask.head.keep_alive && ask.head.http_1_1;
    // What is coded has the request's number in it for good.
    let open = script.coding.is_empty();
    let remembered = ordinary
        && open
        && refusal.is_none()
        && ask.route.is_remembered()
        && Rc::ptr_eq(script, &world.script);
    if remembered && let Some(plan) = world.memo.get(ask.route, ask.body) {
        return plan;
    }
    let Answered { plan, refused } = match refusal {
        Some(refusal) => provider::refuse(ask, &refusal),
        None => provider::answer(ask),
    };
    world.ledger.refused += u64::from(refused);
    world.ledger.faulted += u64::from(ask.fault != Fault::None && !refused);
    let plan = Rc::new(plan);
    if remembered && !refused {
        world.memo.put(ask.route, ask.body, &plan);
    }
    plan
}

fn seen(ask: &Ask<'_>, number: u64, connection: u64, world: &World) -> SeenRequest {
    let mut lines = [httparse::EMPTY_HEADER; crate::limits::HEADERS_MAX];
    let mut parsed = httparse::Request::new(&mut lines);
    // The head was parsed before; if it could not be now, the request is remembered without its lines.
    let _ = parsed.parse(ask.bytes);
    let headers = parsed.headers.iter().filter(|line| !line.name.is_empty());
    SeenRequest {
        number,
        connection,
        when: world.now.saturating_duration_since(world.started),
        method: ask.method(),
        target: ask.target(),
        headers: headers.map(|line| (line.name.to_string(), line.value.to_vec())).collect(),
        body: ask.body.to_vec(),
    }
}
