// The sandboxed bridge: puts one object with two functions on the page's window. It passes known
// channels through and nothing else; the Electron event, which would give the page more, stays here.
import { contextBridge, ipcRenderer, type IpcRendererEvent } from "electron";
import {
  panelEventChannels,
  panelRequestChannels,
  type Answer,
  type PanelEventChannel,
  type PanelEvents,
  type PanelRequestChannel,
  type RequestParams,
  type RequestResult,
  type TorporBridge,
} from "../contract/panel-channels.js";

const bridge: TorporBridge = {
  request<C extends PanelRequestChannel>(
    channel: C,
    params: RequestParams<C>,
  ): Promise<Answer<RequestResult<C>>> {
    if (!panelRequestChannels.has(channel)) {
      return Promise.reject(new Error(`There is no request channel ${channel}.`));
    }
    return ipcRenderer.invoke(channel, params) as Promise<Answer<RequestResult<C>>>;
  },
  on<C extends PanelEventChannel>(channel: C, listener: (payload: PanelEvents[C]) => void) {
    if (!panelEventChannels.has(channel)) {
      throw new Error(`There is no event channel ${channel}.`);
    }
    const hear = (_event: IpcRendererEvent, payload: PanelEvents[C]): void => {
      listener(payload);
    };
    ipcRenderer.on(channel, hear);
    return () => {
      ipcRenderer.removeListener(channel, hear);
    };
  },
};

contextBridge.exposeInMainWorld("torpor", bridge);
