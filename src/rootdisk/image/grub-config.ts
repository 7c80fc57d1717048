import type { Recipe } from './recipe.js'

/** What a recipe says of its GRUB. */
export type GrubWishes = Pick<Recipe, 'title' | 'rootLabel' | 'kernelArguments'>

/** The configuration within GRUB's core image: finds the root file system and goes on there. */
export function earlyGrubConfig({ rootLabel }: GrubWishes): string {
  return `search --no-floppy --set=root --label ${rootLabel}\nconfigfile /boot/grub/grub.cfg\n`
}

/** `/boot/grub/grub.cfg`. Static: kernel packages keep its two links up to date, so no grub-mkconfig is needed. */
export function grubConfig({ title, rootLabel, kernelArguments }: GrubWishes): string {
  return `set timeout=0
set default=0
menuentry '${title}' {
  linux /vmlinuz root=LABEL=${rootLabel} ro ${kernelArguments}
  initrd /initrd.img
}
`
}
