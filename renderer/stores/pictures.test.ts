import { beforeEach, expect, it } from "vitest";
import { picturesStore, putPicture } from "./pictures.js";

beforeEach(() => picturesStore.setState({ byImage: new Map() }));

const picture = { format: "png", width: 8, height: 4, data: "aGVsbG8=" } as const;

it("hands a picture on as something that an image element shows", () => {
  putPicture("a", picture);
  putPicture("b", { ...picture, format: "svg" });
  putPicture("c", null);
  putPicture("d", "unread");
  const { byImage } = picturesStore.getState();
  expect(byImage.get("a")).toEqual({
    url: "data:image/png;base64,aGVsbG8=",
    width: 8,
    height: 4,
  });
  expect(byImage.get("b")).toMatchObject({ url: "data:image/svg+xml;base64,aGVsbG8=" });
  expect(byImage.get("c")).toBe("none");
  expect(byImage.get("d")).toBe("unread");
});

it("keeps the newest few", () => {
  for (let n = 0; n < 40; n++) putPicture(String(n), picture);
  const { byImage } = picturesStore.getState();
  expect(byImage.size).toBe(24);
  expect(byImage.has("15")).toBe(false);
  expect(byImage.has("39")).toBe(true);
});
