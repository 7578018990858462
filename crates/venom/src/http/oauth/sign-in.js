// Passkeys for the sign-in and account pages: every form with data-passkey asks the browser for one.
"use strict";
for (const form of document.querySelectorAll("form[data-passkey]")) {
  if (!window.PublicKeyCredential || !PublicKeyCredential.parseRequestOptionsFromJSON) continue;
  form.hidden = false;
  form.addEventListener("submit", async (event) => {
    event.preventDefault();
    const wrong = form.querySelector(".wrong");
    wrong.textContent = "";
    const send = async (path, body) => {
      const answer = await fetch(path, { method: "POST", body });
      if (!answer.ok) throw new Error((await answer.json()).error);
      return answer;
    };
    try {
      const fields = new URLSearchParams(new FormData(form));
      const options = await (await send(`${form.action}/begin`, fields)).json();
      const adding = form.dataset.passkey === "add";
      const credential = adding
        ? await navigator.credentials.create({ publicKey: PublicKeyCredential.parseCreationOptionsFromJSON(options) })
        : await navigator.credentials.get({ publicKey: PublicKeyCredential.parseRequestOptionsFromJSON(options) });
      fields.set("credential", JSON.stringify(credential.toJSON()));
      await send(`${form.action}/finish`, fields);
      location.assign(form.dataset.next);
    } catch (error) {
      wrong.textContent = error.message;
    }
  });
}
