// Makes a page live. The server renders everything: when something has happened, this asks for the page's parts anew.

const page = document.documentElement
const all = (selector, root = document) => [...root.querySelectorAll(selector)]
const api = `${page.dataset.root}/api/v1/services/${encodeURIComponent(page.dataset.service)}`
const job = document.getElementById("job-job")?.dataset.job // the page is about this one alone

// --- time: the viewer's zone, the server's clock ------------------------------------------------------------

const clock = { server: Number(page.dataset.now), local: performance.now() }
const now = () => clock.server + performance.now() - clock.local
const iso = (at) => new Date(at).toLocaleString("sv") // the locale that writes 2026-11-28 14:03:22
const UNITS = [[86400, "d", 3600, "h"], [3600, "h", 60, "min"], [60, "min", 1, "s"]]

function words(ms, short) {
  const s = Math.max(0, Math.floor(ms / 1000))
  const [size, unit, small, smaller] = UNITS.find(([size]) => s >= size) ?? [1, "s"]
  return `${Math.floor(s / size)} ${unit}` + (small && !short ? ` ${Math.floor(s % size / small)} ${smaller}` : "")
}

const SHOWN = {
  clock: ({ dateTime }) => iso(dateTime).slice(iso(dateTime).startsWith(iso(now()).slice(0, 10)) ? 11 : 0, 16),
  moment: ({ dateTime }) => iso(dateTime),
  second: ({ dateTime }) => iso(dateTime).slice(11),
  ago: ({ dateTime }) => now() - new Date(dateTime) < 60_000 ? "just now" : `${words(now() - new Date(dateTime), true)} ago`,
  elapsed: ({ dataset }) => words(now() - dataset.since),
  zone: () => Intl.DateTimeFormat().resolvedOptions().timeZone,
}

function show(elements) {
  for (const element of elements) {
    if (element.dataset.ms) element.dataset.since = now() - element.dataset.ms
    element.removeAttribute("data-ms")
    const text = SHOWN[element.dataset.show](element)
    if (element.textContent !== text) element.textContent = text
    if (element.dateTime && !element.title) element.title = iso(element.dateTime)
  }
}

let ticking
function tick() { // each second while something runs, each minute for how long ago something was, never unseen
  clearTimeout(ticking)
  if (document.hidden) return
  const moving = all("[data-link=live] [data-show=elapsed], [data-show=ago]").filter((each) => each.checkVisibility())
  show(moving)
  const runs = moving.some(({ dataset }) => dataset.show === "elapsed")
  if (moving.length) ticking = setTimeout(tick, runs ? 1000 - now() % 1000 : 30_000)
}

// --- parts ----------------------------------------------------------------------------------------------------

// Changes `old` into `next` where they differ, so that focus, selection and scrolling stay where they are.
function morph(old, next) {
  if (old.isEqualNode(next)) return
  if (old.nodeName !== next.nodeName) return old.replaceWith(next)
  if (old.nodeType !== Node.ELEMENT_NODE) return void (old.nodeValue = next.nodeValue)
  if (old.matches("[data-jump]") || (old.matches("[data-run]") && old.dataset.run === next.dataset.run)) return
  for (const { name } of [...old.attributes]) {
    if (!next.hasAttribute(name) && !(name === "open" && old.nodeName === "DETAILS")) old.removeAttribute(name)
  }
  for (const { name, value } of next.attributes) if (old.getAttribute(name) !== value) old.setAttribute(name, value)
  const key = (node) => node.id || node.dataset?.job || ""
  const keyed = new Map([...old.children].filter(key).map((child) => [key(child), child]))
  let place = old.firstChild
  for (const child of [...next.childNodes]) {
    const same = key(child) ? keyed.get(key(child)) : place && !key(place) && place.nodeName === child.nodeName ? place : null
    if (same && same === place) place = place.nextSibling
    else old.insertBefore(same ?? child, place)
    if (same) morph(same, child)
  }
  while (place) {
    const gone = place
    place = place.nextSibling
    gone.remove()
  }
}

function replace(html) {
  const made = new DOMParser().parseFromString(html, "text/html")
  show(all("[data-show]", made))
  const focused = document.activeElement
  for (const part of made.body.children) {
    const old = document.getElementById(part.id)
    if (old) morph(old, part)
  }
  if (focused !== document.activeElement && focused.isConnected) focused.focus() // a row that moved has lost it
  tick()
}

const GATHER_MS = 30 // a short job is queued, starts and ends within this time
const SHARE = 2 // at most a third of the time is spent asking: many viewers of a busy queue slow themselves down

class Part {
  constructor(url, gapMs) {
    Object.assign(this, { url, gapMs, next: 0, timer: 0, stale: false })
  }

  touch() {
    this.stale = true
    this.timer ||= setTimeout(() => this.ask(), Math.max(GATHER_MS, this.next - performance.now()))
  }

  async ask() {
    const begun = performance.now()
    this.stale = false
    try {
      const answer = await fetch(this.url)
      if (answer.status === 401 || (answer.ok && page.dataset.away === "")) return location.reload()
      if (answer.ok) replace(await answer.text())
    } catch { /* the stream tells that the gateway is gone, and then that it is back */ }
    this.next = performance.now() + Math.max(this.gapMs, SHARE * (performance.now() - begun))
    this.timer = 0
    if (this.stale && !document.hidden) this.touch()
  }
}

const main = new Part(`${location.pathname}/part/all`, 100)
const strip = document.getElementById("strip") && new Part(`${location.pathname}/part/strip${location.search}`, 10_000)

function refresh() {
  main.touch()
  strip?.touch()
  grow()
}

// --- output ---------------------------------------------------------------------------------------------------

const harmless = (text) => text.replace(/(?![\n\t])[\p{C}\p{Zl}\p{Zp}]/gu, (c) => { // as the server does it
  const code = c.codePointAt(0).toString(16)
  const [sign, digits] = code.length < 3 ? ["x", 2] : code.length < 5 ? ["u", 4] : ["U", 8]
  return `\\${sign}${code.padStart(digits, "0")}`
})
const isAtEnd = (log) => log.scrollTop > -8 // it is laid out from its end, where 0 is

async function grow() {
  const log = document.querySelector("[data-run]")
  if (!log || log.growing) return
  log.growing = true
  const answer = await fetch(`${api}/jobs/${job}/log?offset=${log.dataset.offset}`).catch(() => null)
  log.growing = false
  if (!answer?.ok) return
  const piece = await answer.json(), from = isAtEnd(log) ? Infinity : log.scrollHeight + log.scrollTop
  if (String(piece.run) !== log.dataset.run) return // another attempt: the server has the new beginning
  log.firstElementChild.append(harmless(piece.text))
  log.dataset.offset = piece.next_offset
  log.scrollTop = Math.min(0, from - log.scrollHeight) // whoever reads further up stays there
  if (piece.text && piece.next_offset < piece.size_bytes) grow()
}

// --- the stream: one per browser, led by one of the tabs that are seen --------------------------------------

const channel = new BroadcastChannel(`zjobs ${api}`)
const SILENCE_MS = 40_000, LONGEST_PAUSE_MS = 10_000 // heartbeats come each 15 s
const link = { gateway: true, broker: page.dataset.away === undefined }
let last = page.dataset.event ?? ""
let leaving, leads = false // what ends this tab's part, while it is seen; whether it has the stream

function hear({ kind, data, id }) {
  if (kind === "hello") return leads && channel.postMessage({ kind: "here", data: link, id: last })
  if (document.hidden) return
  if (kind === "here") setLink(data)
  else setLink(kind === "lost" ? { gateway: false } : { gateway: true, ...kind === "service" && { broker: data.reachable } })
  const news = id !== last // a stream begins with how the service is, which the page may know
  last = id ?? last
  if (kind === "resync" || (kind === "here" && news)) refresh()
  if ((kind === "service" && news) || (kind === "job" && !job)) main.touch()
  if (kind === "job" && data.ended_at) strip?.touch()
  if (kind === "job" && String(data.id) === job) main.touch(), grow()
}

function tell(event) {
  hear(event)
  channel.postMessage(event)
}

function setLink(change) {
  const before = link.gateway && link.broker
  Object.assign(link, change)
  const lives = link.gateway && link.broker
  page.dataset.link = lives ? "live" : "lost"
  if (lives === before) return
  for (const actions of all("main .actions")) actions.inert = !lives
  const [sign, state] = document.getElementById("freshness").children
  if (lives) return refresh()
  sign.parentNode.className = "state bad"
  sign.textContent = "✗"
  state.textContent = link.gateway ? "the broker does not answer" : "the gateway does not answer"
  for (const time of all("#freshness time")) time.dataset.show = "ago"
  tick()
}

async function read(body) {
  const reader = body.pipeThrough(new TextDecoderStream()).getReader()
  for (let text = ""; ;) {
    const silence = setTimeout(() => reader.cancel(), SILENCE_MS)
    const { value, done } = await reader.read().finally(() => clearTimeout(silence))
    if (done) return
    const blocks = (text + value).split("\n\n")
    text = blocks.pop()
    for (const block of blocks) {
      const { event, data, id } = Object.fromEntries(block.split("\n").map((line) => line.split(/: (.*)/s)))
      tell({ kind: event ?? "heartbeat", data: data && JSON.parse(data), id })
    }
  }
}

async function listen(signal) {
  leads = true
  for (let pause = 0; !signal.aborted; pause = Math.min(2 * pause + 500, LONGEST_PAUSE_MS)) {
    try {
      const answer = await fetch(`${api}/events`, { signal, headers: { "Last-Event-ID": last } })
      if (answer.status === 401) return location.reload()
      if (answer.ok) {
        pause = 0
        await read(answer.body)
      } else tell({ kind: "service", data: { reachable: false } })
    } catch {
      if (pause && !signal.aborted) tell({ kind: "lost" }) // the first time, try again at once
    }
    await new Promise((go) => {
      setTimeout(go, pause * (0.5 + Math.random() / 2))
      signal.addEventListener("abort", go)
    })
  }
  leads = false
}

function wake() {
  if (document.hidden || leaving) return
  leaving = new AbortController()
  const { signal } = leaving
  channel.postMessage({ kind: "hello" })
  // without TLS there are no locks: then each tab that is seen has a stream, and few are
  if (navigator.locks) navigator.locks.request(channel.name, { signal }, () => listen(signal)).catch(() => {})
  else listen(signal)
  tick()
}

const rest = () => leaving = leaving?.abort()

show(all("[data-show]"))
tick()
if (document.getElementById("freshness")) {
  channel.onmessage = ({ data }) => hear(data)
  document.addEventListener("visibilitychange", () => document.hidden ? rest() : wake())
  addEventListener("pagehide", rest)
  addEventListener("pageshow", wake)
  addEventListener("stale", refresh)
  page.dataset.link ??= "live"
  wake()
}

addEventListener("scroll", ({ target }) => {
  if (target.matches?.("[data-run]")) document.querySelector("[data-jump]").hidden = isAtEnd(target)
}, { capture: true })
addEventListener("click", ({ target }) => {
  if (target.closest("[data-jump]")) document.querySelector("[data-run]").scrollTop = 0
})
