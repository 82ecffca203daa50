
// The page reads without this script: bars are links to turns. Here a turn is selected in timeline
// and list at once, keys move between turns, and the recording, if embedded, plays the turn.
for (const conversation of document.querySelectorAll(".conversation")) {
  const turns = [...conversation.querySelectorAll(".turn")];
  const bars = [...conversation.querySelectorAll(".timeline a")];
  const cursor = conversation.querySelector(".cursor");
  const playhead = conversation.querySelector(".playhead");
  const audio = conversation.querySelector("audio");
  if (turns.length === 0) continue;

  const spans = turns.map((turn) => [Number(turn.dataset.start), Number(turn.dataset.end)]);
  const numberOfTurn = new Map(turns.map((turn, number) => [turn, number]));
  // A bar stands for a turn, or for several of which its link leads to the first.
  const numberOfLink = new Map(turns.map((turn, number) => [`#${turn.id}`, number]));
  const turnsOf = bars.map((bar) => bar.dataset.turns?.split(" ").map((number) => number - 1) ??
    [numberOfLink.get(bar.getAttribute("href"))]);
  const barOf = [];
  turnsOf.forEach((numbers, k) => numbers.forEach((number) => (barOf[number] ??= bars[k])));
  const numberOf = (node) => {
    const bar = node.closest(".timeline a");
    return bar ? turnsOf[bars.indexOf(bar)][0] : numberOfTurn.get(node.closest(".turn")) ?? -1;
  };
  const list = makeList(conversation.querySelector(".turns"), turns, numberOfTurn, bars, turnsOf);
  let selected = -1;
  let stopAt = Infinity;

  const mark = (number, name, on) => {
    for (const node of [turns[number], barOf[number]]) {
      if (name === "hot") node.classList.toggle("hot", on);
      else if (on) node.setAttribute("aria-current", "true");
      else node.removeAttribute("aria-current");
    }
    list.rowOf(number)?.classList.toggle(name, on);
  };

  const select = (number) => {
    if (number === selected) return;
    if (selected >= 0) {
      mark(selected, "current", false);
      barOf[selected].tabIndex = -1;
    }
    bars[0].tabIndex = -1;
    selected = number;
    mark(number, "current", true);
    barOf[number].tabIndex = 0;
    const bar = barOf[number].querySelector("rect");
    for (const side of ["x", "width"]) cursor.setAttribute(side, bar.getAttribute(side));
  };

  const play = (number) => {
    const [start, end] = spans[number];
    if (!audio || Number.isNaN(start)) return;
    audio.currentTime = start;
    stopAt = end;
    audio.play();
  };

  const follow = () => {
    const now = audio.currentTime;
    if (now >= stopAt) {
      audio.pause();
      stopAt = Infinity;
    }
    const x = `${(100 * now) / (audio.duration || Infinity)}%`;
    playhead.setAttribute("x1", x);
    playhead.setAttribute("x2", x);
    const number = spans.findIndex(([start, end]) => start <= now && now < end);
    if (number >= 0 && stopAt === Infinity && !audio.paused) select(number);
  };

  const animate = () => {
    follow();
    if (!audio.paused) requestAnimationFrame(animate);
  };

  if (audio) {
    conversation.classList.add("playable");
    audio.addEventListener("play", () => {
      playhead.style.visibility = "visible";
      animate();
    });
    // Frames stop in a hidden tab, this does not; it also comes after a seek.
    audio.addEventListener("timeupdate", follow);
    // A pause by hand ends the turn's own limit: what follows is free listening.
    audio.addEventListener("pause", () => {
      stopAt = Infinity;
    });
  }

  conversation.addEventListener("click", (event) => {
    const reading = event.target.closest(".text") && !getSelection().isCollapsed;
    if (event.target.closest("details") || reading) return;
    const number = numberOf(event.target);
    if (number < 0) return;
    event.preventDefault();
    select(number);
    play(number);
    if (event.target.closest(".timeline")) {
      list.reveal(number);
      turns[number].scrollIntoView({ block: "nearest" });
    }
  });

  conversation.addEventListener("keydown", (event) => {
    const inTimeline = event.target.closest(".timeline a");
    if (!inTimeline && !event.target.closest(".turn > .at, .run > button")) return;
    const links = inTimeline ? bars : list.links();
    const here = links.indexOf(event.target);
    if (here < 0) return;
    const next = { ArrowRight: 1, ArrowDown: 1, ArrowLeft: -1, ArrowUp: -1 }[event.key];
    const goal = { Home: 0, End: links.length - 1 }[event.key] ?? here + next;
    if (!links[goal]) return;
    event.preventDefault();
    links[goal].focus();
  });

  for (const [enter, leave] of [["mouseover", "mouseout"], ["focusin", "focusout"]]) {
    conversation.addEventListener(enter, (event) => {
      const number = numberOf(event.target);
      if (number >= 0) mark(number, "hot", true);
    });
    conversation.addEventListener(leave, (event) => {
      const number = numberOf(event.target);
      if (number >= 0) mark(number, "hot", false);
    });
  }

  // A link into the page may lead to a turn that is folded.
  const follows = () => {
    const number = turns.findIndex((turn) => `#${turn.id}` === location.hash);
    if (number < 0) return;
    select(number);
    list.reveal(number);
    turns[number].scrollIntoView({ block: "nearest" });
  };
  addEventListener("hashchange", follows);
  follows();
}
