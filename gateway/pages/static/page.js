// Makes a page quick to use: keys, dialogs, forms checked while typing, copying. Without it, there are links and forms.

const all = (selector, root = document) => [...root.querySelectorAll(selector)]

// --- keys -----------------------------------------------------------------------------------------------------

const KEYS = "zjobs keys"
const isOff = () => localStorage.getItem(KEYS) === "off"
const ACTIONS = { c: ["cancel"], r: ["retry"], p: ["resume", "pause"], "/": ["filter"], "?": ["help"] }

function step(by) {
  const rows = all(".row:has(.open)")
  const at = rows.indexOf(document.activeElement.closest(".row"))
  const next = at < 0 ? (by > 0 ? 0 : rows.length - 1) : Math.min(Math.max(at + by, 0), rows.length - 1)
  rows[next]?.querySelector(".open").focus()
}

function press(actions) {
  const row = document.activeElement.closest(".row")
  for (const action of actions) {
    const can = all(`[data-action=${action}]`).filter((each) => !each.closest("[inert]"))
    const found = can.find((each) => row?.contains(each)) ?? can.find((each) => !each.closest(".row"))
    if (found) return found.matches("input, select") ? found.focus() : found.click()
  }
}

addEventListener("keydown", (event) => {
  const { key, target } = event
  if (event.ctrlKey || event.altKey || event.metaKey || isOff()) return
  if (target.closest("input, textarea, select, dialog, [contenteditable]")) return
  if (key === "j" || key === "k") step(key === "j" ? 1 : -1)
  else if (ACTIONS[key]) press(ACTIONS[key])
  else return
  event.preventDefault()
})

for (const box of all("input[data-keys]")) {
  box.checked = !isOff()
  box.addEventListener("change", () => localStorage.setItem(KEYS, box.checked ? "on" : "off"))
}

// In the strip, Tab stops once, at the last block; arrows go to the others.
const blocks = () => all("#strip svg a")
addEventListener("keydown", ({ key, target }) => {
  const by = { ArrowLeft: -1, ArrowRight: 1 }[key]
  if (by) blocks()[blocks().indexOf(target) + by || -1]?.focus()
})

// --- confirmations: the page that asks, in a dialog -------------------------------------------------------------

const ASKING = ["cancel", "hold", "release", "retry", "forget", "pause", "resume"].map((action) => `a[data-action=${action}]`).join()
const dialog = document.body.appendChild(document.createElement("dialog"))
const ask = (url, how) => fetch(url, how).catch(() => null)

function open(html, url) {
  const form = new DOMParser().parseFromString(html, "text/html").getElementById("confirm")
  if (!form) return void (location = url)
  dialog.replaceChildren(form)
  form.querySelector("h1").id = "dialog-title"
  dialog.setAttribute("aria-labelledby", "dialog-title")
  if (!dialog.open) dialog.showModal() // once it is closed, the focus is where it was
}

addEventListener("click", async (event) => {
  const link = event.target.closest(ASKING)
  if (event.target.closest("dialog [data-close]")) {
    event.preventDefault()
    event.target.closest("dialog").close()
  } else if (event.target.closest("[data-action=help]")) document.getElementById("help").showModal()
  else if (link && !event.ctrlKey && !event.metaKey && !event.shiftKey) {
    event.preventDefault()
    const answer = await ask(link.href)
    answer && !answer.redirected ? open(await answer.text(), link.href) : location = link.href
  }
})

dialog.addEventListener("submit", async (event) => {
  const { target: form, submitter } = event
  event.preventDefault()
  submitter.disabled = true
  const answer = await ask(form.action, { method: "POST", body: new URLSearchParams(new FormData(form, submitter)) })
  submitter.disabled = false
  if (!answer) return
  if (!answer.redirected) return open(await answer.text(), form.action)
  dialog.close()
  if (new URL(answer.url).pathname === location.pathname) dispatchEvent(new Event("stale"))
  else location = answer.url
})

// --- forms: the browser checks what it can, the server what a schema says, in the words of a form that was sent -----

const CHECK_MS = 200 // after the last key

function tell(field, mistake) {
  field.setCustomValidity(mistake)
  field.setAttribute("aria-invalid", !field.validity.valid)
  const id = `${field.id}.wrong`
  if (!document.getElementById(id)) {
    if (field.validity.valid) return
    field.after(Object.assign(document.createElement("span"), { id, className: "wrong" }))
    field.setAttribute("aria-describedby", `${field.getAttribute("aria-describedby") ?? ""} ${id}`.trim())
  }
  document.getElementById(id).textContent = field.validity.valid ? "" : `✗ ${mistake || field.validationMessage}`
}

async function check(field) {
  const { value, form } = field, body = new FormData(form)
  for (const [name, each] of [...body]) if (each instanceof File) body.delete(name)
  const answer = await ask(form.dataset.check, { method: "POST", body })
  if (answer?.ok && field.value === value) tell(field, (await answer.json())[field.name] ?? "")
}

let checking
addEventListener("input", ({ target: field }) => {
  if (!field.closest(".field")) return
  clearTimeout(checking)
  tell(field, "")
  if (field.form?.dataset.check && field.name.startsWith("data.") && field.validity.valid && field.type !== "file") {
    checking = setTimeout(check, CHECK_MS, field)
  }
})

// --- copying: the clipboard of browsers is for pages with TLS alone ---------------------------------------------

addEventListener("click", async ({ target }) => {
  const button = target.closest("[data-copy]")
  if (!button) return
  const text = document.getElementById(button.dataset.copy).textContent
  if (!await navigator.clipboard?.writeText(text).then(() => true, () => false)) {
    const field = Object.assign(document.createElement("textarea"), { value: text })
    button.after(field)
    field.select()
    document.execCommand("copy")
    field.remove()
    button.focus()
  }
  button.textContent = "Copied"
})

for (const each of all("[data-script]")) each.hidden = false
