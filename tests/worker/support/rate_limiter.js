// A rate limiting binding of this process, with Cloudflare's interface: miniflare's wants services
// that only wrangler makes (tests/dev.rs has that one).
export default function ({ limit }) {
  const counts = new Map();
  return {
    async limit({ key }) {
      if (limit === 0) await new Promise(() => {}); // It is not to be had.
      counts.set(key, (counts.get(key) ?? 0) + 1);
      return { success: counts.get(key) <= limit };
    },
  };
}
