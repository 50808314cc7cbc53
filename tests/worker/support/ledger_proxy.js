// Gives tests access to the ledgers: POST /account forwards the body as a message.
export default {
  async fetch(request, { LEDGER }) {
    const account = new URL(request.url).pathname.slice(1);
    const stub = LEDGER.get(LEDGER.idFromName(account));
    return stub.fetch("https://ledger/", { headers: { message: await request.text() } });
  },
};
