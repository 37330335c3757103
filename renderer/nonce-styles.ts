// Gives every style element that a library adds at run time the page's nonce, so that the content
// security policy needs no 'unsafe-inline' for them. xterm.js has no setting for it. Imported first.

const nonce = document.querySelector<HTMLMetaElement>('meta[property="csp-nonce"]')?.content ?? "";
const createElement = document.createElement.bind(document);

function createWithNonce(tagName: string, options?: ElementCreationOptions): HTMLElement {
  const element = createElement(tagName, options);
  if (element instanceof HTMLStyleElement) element.nonce = nonce;
  return element;
}

document.createElement = createWithNonce as typeof document.createElement;
