import { AvatarFace } from "avatar-runtime-web/react"; // in a server component
import { Client } from "./client";

export default function Page() {
  return (
    <main>
      <AvatarFace name="alice" size={48} />
      <Client />
    </main>
  );
}
