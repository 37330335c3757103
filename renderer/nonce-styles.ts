// Gives every style element that a library adds at run time the page's nonce, so that the content
// security policy needs no 'unsafe-inline' for them. xterm.js has no setting for it. Imported first.

const nonce = document.querySelector<HTMLMetaElement>('meta[property="csp-nonce"]')?.content ?? "";

/* eslint-disable @typescript-eslint/no-deprecated, @typescript-eslint/unbound-method --
   wrapped in all its overloads, the outdated ones too; the proxy hands `this` on. */
document.createElement = new Proxy(document.createElement, {
  apply(create, page, args) {
    const element: unknown = Reflect.apply(create, page, args);
    if (element instanceof HTMLStyleElement) element.nonce = nonce;
    return element;
  },
});
