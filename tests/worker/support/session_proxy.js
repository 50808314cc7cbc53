// Gives tests access to the objects that keep sessions: POST /owner forwards the body as a message.
export default {
  async fetch(request, { SESSIONS }) {
    const owner = decodeURIComponent(new URL(request.url).pathname.slice(1));
    const body = await request.arrayBuffer();
    return SESSIONS.get(SESSIONS.idFromName(owner)).fetch("https://sessions/", { method: "POST", body });
  },
};
