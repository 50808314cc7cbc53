// A rate limiting binding with Cloudflare's interface. miniflare's own needs services that only
// wrangler creates; tests/dev.rs covers that one.
export default function ({ limit }) {
  const counts = new Map();
  return {
    async limit({ key }) {
      if (limit === 0) await new Promise(() => {}); // The limiter does not respond.
      counts.set(key, (counts.get(key) ?? 0) + 1);
      return { success: counts.get(key) <= limit };
    },
  };
}
